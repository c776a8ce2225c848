// The small embedded ELMo on the demo data, as in `make leaderboard`: minutes on two cores.
{
  targets: ['all'],
  ranks: [1, 8, 32],
  latency_sentences: 8,
  latency_rounds: 2,
}
