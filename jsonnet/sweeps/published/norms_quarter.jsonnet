// The same of the small ELMo that was trained from scratch, another model than the larger one, with all matrices together.
// elmo-mf sweep published/norms_quarter --data data --threads 1 --output leaderboard
local alone = (import 'norms.jsonnet')('quarter');

alone + {
  baselines: ['shuffled'],
  precisions: ['int8'],
  compressions:
    alone.compressions
    + [{ method: 'svd', rank: 16, targets: target } for target in ['input', 'recurrent', 'projection', 'all']]
    + [
      { method: 'whitened_svd', budget: { share: share }, targets: 'joint+projection', highway_rank: 'budget' }
      for share in [0.5, 0.25, 0.125]
    ],
}
