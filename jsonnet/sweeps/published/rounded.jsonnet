// Both ways to a smaller file at once: fewer parameters, each of them in int8.
// elmo-mf sweep published/rounded --data data --threads 1 --output leaderboard
function(tasks=['syntax-probe', 'wikitext2-bilm'])
  (import 'bilm.jsonnet')(tasks) + {
    compressions: (import 'encoders.libsonnet')[0:4],
    compressed_precisions: ['int8'],
    precisions: [],
    baselines: [],
  }
