// The larger embedded ELMo in models of SNLI, compressed with the gradients of their own loss; beside them, with those of the ELMo's:
// elmo-mf gradients wikitext2-bilm gradients.hdf5 --data data --options weights/base/options.json --weights weights/base/weights.hdf5
// elmo-mf sweep published/task_gradients --data data --threads 1 --output leaderboard
local by_loss(share) = { method: 'kfac_svd', budget: { share: share }, targets: 'joint+projection', allocation: 'loss' };

function(gradients='gradients.hdf5', glove='data/words/glove.6B.100d.txt.gz')
  (import 'swapped.jsonnet')(glove, ['snli']) + {
    seeds: [1, 2],
    compressions:
      [by_loss(share) + more for share in [0.125, 0.0625] for more in [{}, { gradients: gradients }]]
      + [
        { method: 'whitened_svd', budget: { share: share }, targets: 'joint+projection' }
        for share in [0.125, 0.0625]
      ]
      + [{ method: 'fisher_svd', rank: 32, targets: 'all' }, { method: 'whitened_svd', rank: 32, targets: 'all' }, { method: 'svd', rank: 32, targets: 'all' }],
    precisions: [],
    baselines: [],
  }
