// The ELMo that was trained on more books, as a language model, and compressed by the loss that it has there.
// elmo-mf sweep published/books --data data --threads 1 --output leaderboard
local by_loss(share) = { method: 'kfac_svd', budget: { share: share }, targets: 'joint+projection', allocation: 'loss' };

function(tasks=['wikitext2-bilm'])
  (import 'bilm.jsonnet')(tasks) + {
    options: 'weights/books/options.json',
    weights: 'weights/books/weights.hdf5',
    compressions:
      (import 'encoders.libsonnet')
      + [{ method: 'kfac_svd', rank: 32, targets: 'all' }]
      + [by_loss(share) for share in [0.5, 0.25, 0.125, 0.0625]]
      + [by_loss(share) + { highway_rank: 64 } for share in [0.25, 0.125]],
  }
