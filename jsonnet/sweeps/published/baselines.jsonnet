// What the encoders of swapped.jsonnet have to beat, each trained with one seed.
// elmo-mf sweep published/baselines --data data --threads 1 --output leaderboard
function(glove='data/words/glove.6B.100d.txt.gz', tasks=['sst', 'snli', 'squad'])
  (import 'swapped.jsonnet')(glove, tasks) + {
    seeds: [1],
    compressions: [],
    precisions: [],
    baselines: ['words', 'no-encoder', 'token-layer'],
  }
