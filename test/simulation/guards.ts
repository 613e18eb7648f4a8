/**
 * The guards that can be taken out one by one, to see that the simulation misses each. Those of the instance are switched in its
 * model; those of the executor by what the simulation hands to the real code (its leases, its requests, its launcher), never by
 * a switch of the product's. Not here, because another one stands behind them: the executor's name at the commit and at a
 * renewal (an attempt has one executor), and the offset gap (a client that waits for each answer leaves none).
 */
export const guards = {
  // the instance's
  token: 'a request is known by its token, not by the number of its job',
  'token dies': 'a lease is gone with the state `processing`, and its token with it',
  'cancel ends writes': 'a token is dead from the moment that somebody cancels its job',
  'read expiry': 'nothing is read after the lease ran out',
  'commit attempt': 'a write commits only for the attempt that holds the job',
  'commit expiry': 'a write commits only before its lease runs out',
  'one lease': 'who takes a job holds its row',
  'renew attempt': 'a heartbeat renews the attempt that it names',
  'renew expiry': 'a heartbeat does not bring back a lease that ran out',
  'reaper margin': 'a job waits a second after the end of its lease',
  'steady clock': "leases outlive a database's clock that is set forward",
  'entry number': 'a log entry that is asked for again is there once',
  'idempotent offset': 'bytes that arrived before are not kept twice',
  'commit before answer': 'nothing is acknowledged that is not committed',
  'cancel stays': 'a cancel outlives the loss of the executor',
  'resets counted': 'a job is given up after so many losses',
  // the executor's
  'heartbeat before boot': 'nothing boots before a heartbeat was answered',
  'deadline from sending': 'a lease counts from the sending of a heartbeat',
  'executor margin': 'a VM is killed two seconds before the lease ends',
  'attempt in heartbeat': 'heartbeats name the attempts',
  watchdog: 'the launcher kills the VM when its lease is over',
  'own process': 'the launcher does so while the agent stands still',
  'clock rate': 'the clocks of two machines tick nearly alike',
} as const;
export type Guard = keyof typeof guards;
