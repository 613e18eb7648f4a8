import { type EgressPolicy, askedEgressSchema, type JobReceipt, privateHostSchema } from '@fumehood/protocol';

type Asked = Pick<JobReceipt, 'kind' | 'name' | 'address' | 'port' | 'serverName' | 'verdict' | 'reason'>;

/** The smallest policy for what a guest was allowed. */
export interface SufficientPolicy {
  readonly policy: EgressPolicy;
  /** The names and ports, as far as a policy `allow` has rules for them; null if that is nothing, or if there are too many of them. */
  readonly named: EgressPolicy | null;
  /** What a policy `allow` has no rule for, connections above all: only `public` allows it. */
  readonly nameless: readonly Asked[];
  /** Names that were looked up, and never connected to. Their rules need a port, which is `lookupPort`. */
  readonly onlyLookedUp: readonly string[];
}

/** The port in the rule for a name that was only looked up: any one will do. */
export const lookupPort = 443;

/** Returns the smallest policy that would have allowed what these receipts say was allowed. What was refused or failed needs no rule. */
export function sufficientPolicy(receipts: readonly Asked[]): SufficientPolicy {
  const ports = new Map<string, Set<number>>();
  const nameless: Asked[] = [];
  for (const receipt of receipts) {
    const { kind, name, port, verdict } = receipt;
    if (verdict !== 'allowed' || (kind !== 'lookup' && kind !== 'connection')) continue;
    if (name === null || !hasRule(receipt)) nameless.push(receipt);
    else {
      const known = ports.get(name) ?? new Set();
      ports.set(name, kind === 'connection' && port !== null ? known.add(port) : known);
    }
  }
  const onlyLookedUp = [...ports.keys()].filter((name) => ports.get(name)?.size === 0);
  const hosts = [...ports]
    .toSorted(([one], [other]) => (one < other ? -1 : 1))
    .map(([name, known]) => ({
      name,
      ports: known.size > 0 ? [...known].toSorted((a, b) => a - b) : [lookupPort],
    }));
  const { data: named = null } = askedEgressSchema.safeParse({ mode: 'allow', hosts });
  const needsAll = nameless.length > 0 || (hosts.length > 0 && named === null);
  const policy = needsAll ? ({ mode: 'public' } as const) : (named ?? ({ mode: 'none' } as const));
  return { policy, named, nameless, onlyLookedUp };
}

/** Returns whether a policy `allow` can have a rule for what was asked: by a name, with which TLS agrees. */
function hasRule({ name, serverName, reason }: Asked): boolean {
  const agrees = reason === null && (serverName === null || serverName === name);
  return agrees && privateHostSchema.shape.name.safeParse(name).success;
}
