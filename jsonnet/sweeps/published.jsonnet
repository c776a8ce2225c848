// The board in leaderboard/: the embedded ELMo on real data, about two hours on two cores (run as two processes of one
// thread, each with some of the tasks and seeds, into the same folder).
// elmo-mf sweep jsonnet/sweeps/published.jsonnet --data DATA --output leaderboard
{
  targets: ['input', 'recurrent', 'all'],
  ranks: [4, 16, 32],
  seeds: [1, 2],
  limit: {
    sst: null,
    snli: { train: 6000, validation: 800, test: 2000 },
    squad: { train: 2500, validation: 800 },
  },
  overrides: {
    sst: { 'trainer.num_epochs': 5 },
    snli: { 'trainer.num_epochs': 5 },
    squad: { 'trainer.num_epochs': 5 },
  },
}
