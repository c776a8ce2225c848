// Either target by `nmf` and `random` at the ranks that language_methods.jsonnet leaves out.
// elmo-mf sweep jsonnet/sweeps/published/language_nmf.jsonnet --data data --threads 1 --output leaderboard
(import 'language_models.jsonnet') + {
  tasks: ['ptb'],
  compressions: [
    { method: method, rank: rank, targets: target }
    for method in ['nmf', 'random']
    for rank in [8, 128]
    for target in ['input', 'recurrent']
  ],
}
