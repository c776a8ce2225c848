// Semi-NMF of the larger embedded ELMo from other starts, and with the other factor non-negative.
// elmo-mf sweep published/semi_nmf --data data --threads 1 --output leaderboard
function(tasks=['wikitext2-bilm', 'syntax-probe'])
  (import 'bilm.jsonnet')(tasks) + {
    baselines: [],
    precisions: [],
    compressions: [
      { method: 'semi_nmf', rank: 32, targets: 'all', settings: settings }
      for settings in [{ start: 'random' }, { nonnegative: 'left' }, { start: 'random', nonnegative: 'left' }]
    ],
  }
