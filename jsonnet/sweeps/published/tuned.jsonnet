// As published/language_models, fine-tuned for one epoch after compression: plain SVD of each target, another method for input.
// elmo-mf sweep published/tuned --data data --threads 1 --output leaderboard
local tuned(method, target) = { method: method, rank: 32, targets: target, finetune: { epochs: 1, learning_rate: 0.001 } };
(import 'language_models.jsonnet') + {
  compressions: [tuned('svd', target) for target in ['input', 'recurrent', 'all']] + [tuned('whitened_svd', 'input')],
}
