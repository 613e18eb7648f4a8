/**
 * The guards of the product that a test removes one by one, to check that the simulation notices. The guards of the instance are
 * switched in its model. The guards of the executor are removed by changing what the simulation hands to the real code (its leases,
 * requests and launcher), never by a switch in the product. Some guards are missing here because a second guard stands behind them: the
 * executor's name at the commit and at a renewal (an attempt has one executor), and the offset gap (a client that waits for each answer
 * leaves none).
 */
export const guards = {
  // guards of the instance
  token: 'a request is identified by its token, not by its job number',
  'token dies': 'a lease and its token end with the state `processing`',
  'cancel ends writes':
    'a token is good for nothing but the log from the moment at which its job is canceled',
  'read expiry': 'no read is accepted after the lease ran out',
  'commit attempt': 'a write commits only for the attempt that holds the job',
  'commit expiry': 'a write commits only before its lease runs out',
  'one lease': 'a lease locks the row of its job',
  'renew attempt': 'a heartbeat renews the attempt that it names',
  'renew expiry': 'a heartbeat does not bring back a lease that ran out',
  'reaper margin': 'a job is leased again at the earliest a second after the end of its lease',
  'steady clock': "leases survive when the database's clock is set forward",
  'entry number': 'a log entry that is added again exists once',
  'idempotent offset': 'bytes that are sent again are stored once',
  'commit before answer': 'nothing is acknowledged before it is committed',
  'cancel stays': 'a cancel survives the loss of the executor',
  'resets counted': 'a job is given up after a number of losses',
  'pause after losses': 'an executor that lost a lease gets no job before its next heartbeat',
  // guards of the executor
  'heartbeat before boot': 'no VM boots before a heartbeat is answered',
  'deadline from sending': 'a lease counts from the sending of the heartbeat',
  'executor margin': 'a VM is killed two seconds before the lease ends',
  'attempt in heartbeat': 'heartbeats name the attempts',
  watchdog: 'the launcher kills the VM when its lease is over',
  'own process': 'the launcher does so while the agent is stopped',
  'clock rate': 'the clocks of two machines tick at nearly the same rate',
} as const;
export type Guard = keyof typeof guards;
