// The larger embedded ELMo as in base.jsonnet, with the character CNN's highway layer factorized too: at an eighth of
// its full rank, or at the rank that a budget of the same size for both gives it.
// elmo-mf sweep jsonnet/sweeps/published/highways.jsonnet --data data --threads 1 --output leaderboard
(import 'base.jsonnet') + {
  compressions: [
    {
      method: 'whitened_svd',
      budget: { parameters: 403456 },
      allocation: 'matrices',
      targets: 'joint+projection',
      highway_rank: 64,
    },
    { method: 'whitened_svd', budget: { parameters: 501760 }, targets: 'joint+projection', highway_rank: 'budget' },
    { method: 'svd', rank: 32, targets: 'all', highway_rank: 64 },
  ],
}
