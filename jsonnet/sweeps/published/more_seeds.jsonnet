// Another model for SNLI with the dense ELMo, which is compressed and rounded afterwards, or shuffled; and another without any.
// elmo-mf sweep published/more_seeds --data data --threads 1 --output leaderboard
function(glove='data/words/glove.6B.100d.txt.gz')
  (import 'swapped.jsonnet')(glove, tasks=['snli']) + {
    seeds: [2],
    compressions: (import 'encoders.libsonnet')[0:4],
    precisions: ['int8'],
    baselines: ['shuffled', 'no-encoder'],
  }
