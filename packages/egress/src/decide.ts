import { type EgressPolicy, hostRuleOf, isOpen, type PrivateHost, type Refusal } from '@fumehood/protocol';
import { isOpenable, isPublicAddress } from './addresses.ts';

/** Whether something is allowed, and by which rule, or why not. */
export type Verdict =
  | { readonly allowed: true; readonly rule: string }
  | { readonly allowed: false; readonly rule: string; readonly reason: Refusal };

const allowed = (rule: string) => ({ allowed: true, rule }) as const;
const refused = (reason: Refusal, rule: string) => ({ allowed: false, rule, reason }) as const;

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
  if (isOpen(policy)) return allowed(policy.mode);
  const rule = policy.mode === 'allow' ? hostRuleOf(policy.hosts, name, null) : undefined;
  return rule
    ? allowed(`allow ${rule.name}`)
    : refused('policy_name', `the policy does not allow the name ${name}`);
}

/**
 * Decides whether a guest may have the answer to an allowed question. One address that is not public refuses all of it: who answers so either
 * is mistaken, or aims at something else. The addresses of an opened host may be in a private network, and not on this machine.
 */
export function decideAnswer(rules: EgressRules, name: string, addresses: readonly string[]): Verdict {
  if (rules.privateHosts.some((host) => host.name === name)) {
    const special = addresses.find((address) => !mayBeOpened(address, rules.own));
    return special === undefined
      ? allowed('opened on this executor')
      : refused('not_public', `its address ${special} is one that no operator can open`);
  }
  const bad = addresses.find((address) => !isReachable(address, rules.own));
  return bad === undefined
    ? allowed('public')
    : refused('not_public', `its address ${bad} is not on the public internet`);
}

/** Last labels of names that are not of the internet (RFC 6761, RFC 6762, RFC 8375, ICANN's list of collisions). */
const privateLabels = new Set([
  ...['localhost', 'local', 'internal', 'lan', 'home', 'corp', 'mail', 'private', 'intranet', 'localdomain'],
  ...['test', 'example', 'invalid', 'onion', 'alt'],
]);

/**
 * Decides whether a guest may connect to a name that only the HTTP proxy can resolve. Whether its addresses are public is for the proxy to say;
 * a name that says of itself that it is none of the internet, or that is an address in some spelling, is refused here.
 */
export function decideUnresolved(rules: EgressRules, name: string): Verdict {
  if (rules.privateHosts.some((host) => host.name === name)) return allowed('opened on this executor');
  return isOfInternet(name)
    ? allowed('resolved by the HTTP proxy')
    : refused('not_public', `nobody here resolves ${name}, and it is no name of the public internet`);
}

function isOfInternet(name: string): boolean {
  const labels = name.split('.');
  const last = labels.at(-1) ?? '';
  const isPrivate = labels.length < 2 || privateLabels.has(last) || /^(\d+|0x[\da-f]*)$/.test(last);
  return !isPrivate && !name.endsWith('.home.arpa');
}

/** A connection of a guest. `names` are those for which it got this address, as long as they last. */
export interface Connection {
  readonly address: string;
  readonly port: number;
  readonly names: readonly string[];
  /** The addresses behind one that stands for its name, none if only the HTTP proxy knows them; null: it is an address of its own. */
  readonly targets?: readonly string[] | null;
}

/** Decides whether a guest may connect to an address. `name` is the name that decided, or one of the names. */
export function decideConnection(
  rules: EgressRules,
  { address, port, names, targets = null }: Connection,
): Verdict & { readonly name: string | null } {
  const name = names[0] ?? null;
  const { policy } = rules;
  const opened = rules.privateHosts.find((host) => host.port === port && names.includes(host.name));
  const dialled = targets ?? [address];
  const isKnown = targets === null || names.length > 0;
  const isPublic =
    isKnown &&
    dialled.every((one) => isReachable(one, rules.own)) &&
    (dialled.length > 0 || names.every(isOfInternet));
  if (!opened && !isPublic)
    return { ...refused('not_public', 'the address is not on the public internet'), name };
  if (opened && !dialled.every((one) => mayBeOpened(one, rules.own)))
    return { ...refused('not_public', 'the address is one that no operator can open'), name: opened.name };
  const suffix =
    opened && !(isPublic && dialled.every(isPublicAddress))
      ? `, opened on this executor: ${opened.name}:${port}`
      : '';
  if (isOpen(policy)) return { ...allowed(`${policy.mode}${suffix}`), name: opened?.name ?? name };
  if (policy.mode === 'none') return { ...refused('policy_address', 'the policy allows nothing'), name };
  for (const one of opened ? [opened.name] : names) {
    const rule = hostRuleOf(policy.hosts, one, port);
    const ports = rule?.ports ? `:${port}` : '';
    if (rule) return { ...allowed(`allow ${rule.name}${ports}${suffix}`), name: one };
  }
  if (name === null)
    return { ...refused('policy_address', 'the address is not that of an allowed name'), name };
  return { ...refused('policy_port', `the policy does not allow port ${port} of ${name}`), name };
}

/**
 * Decides whether TLS on an allowed connection may be for this server name, in lower case, or for none (null). It has to be a name of the address,
 * and the policy has to allow it: else a server that many share would be reached in the name of another.
 */
export function decideServerName(
  { policy }: Pick<EgressRules, 'policy'>,
  { port, names }: Connection,
  serverName: string | null,
): Verdict {
  const isOfAddress = serverName !== null && names.includes(serverName);
  if (!isOfAddress)
    return refused('server_name', `TLS for ${serverName ?? 'no name'}, which is none of the address`);
  if (policy.mode !== 'allow') return allowed(policy.mode);
  const rule = hostRuleOf(policy.hosts, serverName, port);
  return rule
    ? allowed(`allow ${rule.name}`)
    : refused('policy_port', `the policy does not allow port ${port} of ${serverName}, which TLS is for`);
}

const isReachable = (address: string, own: ReadonlySet<string>) =>
  isPublicAddress(address) && !own.has(address);

const mayBeOpened = (address: string, own: ReadonlySet<string>) => isOpenable(address) && !own.has(address);
