// The larger embedded ELMo with fewer memory cells, as a language model: alone, and before factors of equally many parameters.
// elmo-mf sweep published/cells --data data --threads 1 --output leaderboard
local by_loss(share) = {
  method: 'kfac_svd', budget: { share: share }, targets: 'joint+projection', allocation: 'loss', inputs: 'compressed',
};

function(tasks=['wikitext2-bilm'])
  (import 'bilm.jsonnet')(tasks) + {
    compressions:
      [{ cells: 480 }, { cells: 320 }]
      + [by_loss(share) for share in [0.25, 0.125, 0.0625]]
      + [
        by_loss(share_and_cells[0]) + { cells: share_and_cells[1] }
        for share_and_cells in [[0.25, 480], [0.125, 320], [0.0625, 160]]
      ]
      + [by_loss(share) + { cells: 'budget' } for share in [0.25, 0.125, 0.0625]],
    precisions: [],
    baselines: [],
  }
