// The larger embedded ELMo at a quarter to a thirty-second of the bytes that its biLSTM has in float16: rounded; with factors; and
// with as many memory cells as the loss wants. Calibrated on the training text of the language model, with gradients of its loss:
// elmo-mf gradients wikitext2-bilm gradients.hdf5 --data data --options weights/base/options.json --weights weights/base/weights.hdf5
// elmo-mf sweep published/sizes --data data --threads 1 --output leaderboard
local float16 = 5918720;
local bytes(share, dtype) = { budget: { bytes: std.floor(share * float16), dtype: dtype }, targets: 'joint+projection' };
local whitened(share) = bytes(share, 'int8') + { method: 'whitened_svd' };
local by_loss(share, dtype, gradients) =
  bytes(share, dtype)
  + { method: 'kfac_svd', allocation: 'loss', inputs: 'compressed', cells: 'budget', gradients: gradients };

function(gradients='gradients.hdf5', calibration='data/wikitext2/train.txt', glove='data/words/glove.6B.100d.txt.gz', tasks=['wikitext2-bilm', 'syntax-probe'])
  (import 'swapped.jsonnet')(glove, tasks) + {
    compressions: [
      one + (if calibration == null then {} else { calibration: calibration })
      for one in
        [by_loss(share, 'int4', gradients) for share in [1 / 8, 1 / 16, 1 / 32]]
        + [by_loss(share, 'int8', gradients) for share in [1 / 4, 1 / 8, 1 / 16, 1 / 32]]
        + [by_loss(share, 'float16', gradients) for share in [1 / 4, 1 / 8]]
        + [whitened(share) for share in [1 / 4, 1 / 8, 1 / 16]]
    ],
    precisions: ['int4'],
    baselines: [],
    limit: { 'wikitext2-bilm': { validation: 1000, test: 1000 } },
  }
