// The encoders of the boards of weights/base: budgets with and without the highway layer, the methods at one rank, and
// each target alone.
[
  { method: 'whitened_svd', budget: { share: share }, targets: 'joint+projection', highway_rank: 'budget' }
  for share in [0.5, 0.25, 0.125, 0.0625]
]
+ [{ method: 'whitened_svd', budget: { share: share }, targets: 'joint+projection' } for share in [0.25, 0.125]]
+ [{ method: method, rank: 32, targets: 'all' } for method in ['svd', 'whitened_svd', 'random', 'prune', 'semi_nmf']]
+ [{ method: 'svd', rank: rank, targets: 'all' } for rank in [8, 16]]
+ [{ method: 'svd', rank: 16, targets: target } for target in ['input', 'recurrent', 'projection']]
