// Setting 1, tuned again for one epoch after compression, on the smaller of its two corpora: each target by plain SVD, and
// `input`, the dearest, by another method too.
// elmo-mf sweep jsonnet/sweeps/published/tuned.jsonnet --data data --threads 1 --output leaderboard
local finetune = { epochs: 1, learning_rate: 0.001 };
(import 'language_models.jsonnet') + {
  tasks: ['ptb'],
  compressions:
    [{ method: 'svd', rank: 32, targets: target, finetune: finetune } for target in ['input', 'recurrent', 'all']]
    + [{ method: 'whitened_svd', rank: 32, targets: 'input', finetune: finetune }],
}
