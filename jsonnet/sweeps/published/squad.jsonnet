// Question answering: a model trained with the larger embedded ELMo, and its encoder compressed afterwards. Fewer encoders
// than in swapped.jsonnet, because each is scored on 8,079 questions.
// elmo-mf sweep published/squad --data data --threads 1 --output leaderboard
function(glove='data/words/glove.6B.100d.txt.gz')
  (import 'swapped.jsonnet')(glove, ['squad']) + {
    compressions: [
      { method: 'whitened_svd', budget: { share: share }, targets: 'joint+projection', highway_rank: 'budget' }
      for share in [0.5, 0.25, 0.125, 0.0625]
    ],
    precisions: ['int8'],
    baselines: ['shuffled'],
    seeds: [1, 2],
  }
