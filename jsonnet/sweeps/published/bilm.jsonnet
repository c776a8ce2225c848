// The larger embedded ELMo as a language model, as which it was pretrained: nothing is trained, and each run takes a minute.
// elmo-mf sweep published/bilm --data data --threads 1 --output leaderboard
function(tasks=['wikitext2-bilm'])
  (import 'probes.jsonnet')(glove=null, tasks=tasks) + {
    baselines: ['shuffled'],
    limit: { 'wikitext2-bilm': { validation: 1000, test: 1000 } },
  }
