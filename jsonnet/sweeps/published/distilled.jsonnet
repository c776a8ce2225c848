// The budgets of methods.jsonnet with shared left factors, tuned on wikitext-2's training split (one tokenised sentence a
// line).
// elmo-mf sweep jsonnet/sweeps/published/distilled.jsonnet --data data --threads 1 --output leaderboard
function(text='data/wikitext2/train.txt') (import 'settings.libsonnet') + {
  methods: [],
  seeds: [1, 2, 3],
  compressions: [
    {
      method: 'whitened_svd',
      budget: { parameters: 161792 },
      allocation: allocation,
      targets: 'joint+projection',
      distill: { text: text, steps: 1500 },
    }
    for allocation in ['outputs', 'matrices']
  ],
}
