// An ELMo with a quarter of the parameters, trained from scratch on the same text: what a compression of the larger one has to beat.
// elmo-mf sweep published/smaller --data data --threads 1 --output leaderboard
function(tasks=['wikitext2-bilm', 'syntax-probe'])
  (import 'bilm.jsonnet')(tasks) + {
    compressions: [],
    precisions: [],
    baselines: ['smaller'],
    smaller: 'weights/quarter',
  }
