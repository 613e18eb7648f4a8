import { type EgressPolicy, hostRuleOf, type PrivateHost } from '@fumehood/protocol';
import { isPublicAddress } from './addresses.ts';

/** Whether something is allowed, and by which rule. */
export interface Verdict {
  readonly allowed: boolean;
  readonly rule: string;
}

const allowed = (rule: string): Verdict => ({ allowed: true, rule });
const refused = (rule: string): Verdict => ({ allowed: false, rule });

/** What decides what a guest may reach. */
export interface EgressRules {
  readonly policy: EgressPolicy;
  /** Hosts that this executor's operator has opened, as far as the policy allows them. */
  readonly privateHosts: readonly PrivateHost[];
  /** The addresses of this machine: a guest reaches no service of its host. */
  readonly own: ReadonlySet<string>;
}

/** Decides whether a guest may ask for a name, in lower case. A name that is not allowed is asked of nobody, so it carries nothing out. */
export function decideName({ policy }: EgressRules, name: string): Verdict {
  if (policy.mode === 'public') return allowed('public');
  const rule = policy.mode === 'allow' ? hostRuleOf(policy.hosts, name, null) : undefined;
  return rule ? allowed(`allow ${rule.name}`) : refused(`the policy does not allow the name ${name}`);
}

/**
 * Decides whether a guest may have the answer to an allowed question. One address that is not public refuses all of it: who answers so either
 * is mistaken, or aims at something else. The addresses of an opened host may be private.
 */
export function decideAnswer(rules: EgressRules, name: string, addresses: readonly string[]): Verdict {
  if (rules.privateHosts.some((host) => host.name === name)) return allowed('opened on this executor');
  const bad = addresses.find((address) => !isReachable(address, rules.own));
  return bad === undefined ? allowed('public') : refused(`its address ${bad} is not on the public internet`);
}

/** Decides whether a guest may connect to an address. `names` are those for which it got this address, as long as they last. */
export function decideConnection(
  rules: EgressRules,
  {
    address,
    port,
    names,
  }: { readonly address: string; readonly port: number; readonly names: readonly string[] },
): Verdict {
  const { policy } = rules;
  const opened = rules.privateHosts.find((host) => host.port === port && names.includes(host.name));
  if (!opened && !isReachable(address, rules.own))
    return refused('the address is not on the public internet');
  const suffix =
    opened && !isPublicAddress(address) ? `, opened on this executor: ${opened.name}:${port}` : '';
  if (policy.mode === 'public') return allowed(`public${suffix}`);
  if (policy.mode === 'none') return refused('the policy allows nothing');
  for (const name of opened ? [opened.name] : names) {
    const rule = hostRuleOf(policy.hosts, name, port);
    if (rule) return allowed(`allow ${rule.name}${suffix}`);
  }
  if (names.length === 0) return refused('the address is not that of an allowed name');
  return refused(`the policy does not allow port ${port} of ${names[0]}`);
}

const isReachable = (address: string, own: ReadonlySet<string>) =>
  isPublicAddress(address) && !own.has(address);
