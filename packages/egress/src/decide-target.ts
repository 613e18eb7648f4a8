import { isIP, isIPv6 } from 'node:net';
import type { EgressPolicy } from '@fumehood/protocol';
import { decideConnection, decideName, type Verdict } from './decide.ts';

/** Stands for the addresses of a name, which are taken for public: whether they are is found out when a guest asks for it. */
const somePublicAddress = '1.1.1.1';

/** Decides whether a policy allows a connection to a host, which is a name in lower case or an address, on an executor that has opened nothing. */
export function decideTarget(policy: EgressPolicy, host: string, port: number): Verdict {
  const rules = { policy, privateHosts: [], own: new Set<string>() };
  if (isIPv6(host)) return { allowed: false, rule: 'a guest has no IPv6', reason: 'policy_address' };
  if (isIP(host) !== 0) return decideConnection(rules, { address: host, port, names: [] });
  const verdict = decideName(rules, host);
  return verdict.allowed
    ? decideConnection(rules, { address: somePublicAddress, port, names: [host] })
    : verdict;
}
