// What the encoders of published/swapped should beat, in the same models.
// elmo-mf sweep published/baselines --data data --threads 1 --output leaderboard
function(glove='data/words/glove.6B.100d.txt.gz', tasks=['sst', 'snli', 'squad'])
  (import 'swapped.jsonnet')(glove, tasks) + {
    compressions: [],
    precisions: [],
    baselines: ['words', 'no-encoder'],
  }
