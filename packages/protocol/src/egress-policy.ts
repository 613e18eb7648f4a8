import * as z from 'zod';

/** Longest name of a host, and of one of its labels (RFC 1035, 2.3.4), characters. */
const nameMax = 253;
/** Most hosts of a policy that somebody asks for or sets, and most ports of one of them. */
export const askedHostsMax = 256;
const askedPortsMax = 64;
/** So many parts does the text of a policy have at most. */
const partsMax = askedHostsMax * askedPortsMax;
/** The same of what is left of a policy under four ceilings of the instance and that of an executor: each name and port is of one of them. */
const hostsMax = 6 * askedHostsMax;
const portsMax = 6 * askedPortsMax;
const label = '[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?';
const hostPattern = new RegExp(`^(?:\\*\\.)?${label}(?:\\.${label})*$`);

/** A host that a job may reach: its name, or `*.` and a name for everything below that name. */
const allowedHostSchema = z.strictObject({
  name: z
    .string()
    .max(nameMax)
    .toLowerCase()
    .regex(hostPattern, 'must be the name of a host, or `*.` and a name for all names below it')
    .refine((name) => !/^[\d.]+$/.test(name), 'must be a name, not an address'),
  /** Ports; null: any. */
  ports: z.array(z.int().min(1).max(65_535)).min(1).max(portsMax).nullable(),
});
export type AllowedHost = z.infer<typeof allowedHostSchema>;

/**
 * What a job's guest may reach. `none`: it has no network interface. `allow`: the named hosts, as far as they are on the public internet.
 * `public`: every TCP port of the public internet. `learn`: the same, and the receipts say what a policy `allow` would refuse.
 */
export const egressPolicySchema = z.discriminatedUnion('mode', [
  z.strictObject({ mode: z.literal('none') }),
  z.strictObject({ mode: z.literal('allow'), hosts: z.array(allowedHostSchema).min(1).max(hostsMax) }),
  z.strictObject({ mode: z.literal('public') }),
  z.strictObject({ mode: z.literal('learn') }),
]);
export type EgressPolicy = z.infer<typeof egressPolicySchema>;

/** A policy that somebody asks for or sets. */
export const askedEgressSchema = egressPolicySchema
  .refine((policy) => policy.mode !== 'allow' || policy.hosts.length <= askedHostsMax, {
    path: ['hosts'],
    error: `must be at most ${askedHostsMax}`,
  })
  .refine(
    (policy) =>
      policy.mode !== 'allow' || policy.hosts.every(({ ports }) => (ports?.length ?? 0) <= askedPortsMax),
    { path: ['hosts'], error: `must have at most ${askedPortsMax} ports each` },
  );

/** How far a policy reaches, from the narrowest on. The instance compares these when it looks for an executor. */
export const egressModeSchema = z.enum(['none', 'allow', 'learn', 'public']);
export type EgressMode = z.infer<typeof egressModeSchema>;

/** The policy of a job that names none: that of upstream's executors for the queues that it has, and no network for what people run. */
export const defaultEgress = {
  codeintel: { mode: 'public' },
  batches: { mode: 'public' },
  runs: { mode: 'none' },
} as const satisfies Readonly<Record<string, EgressPolicy>>;

/** A host that is not on the public internet, such as a company's mirror, which an executor's operator opens to its guests: by name and port. */
export const privateHostSchema = z.strictObject({
  name: allowedHostSchema.shape.name.refine((name) => !name.startsWith('*.'), 'must be the name of one host'),
  port: z.int().min(1).max(65_535),
});
export type PrivateHost = z.infer<typeof privateHostSchema>;

/** Returns whether a policy allows all of the public internet. */
export function isOpen(policy: EgressPolicy): policy is Extract<EgressPolicy, { mode: 'public' | 'learn' }> {
  return policy.mode === 'public' || policy.mode === 'learn';
}

/** Returns whether a host's name, in lower case, is the rule's name, or below it for a rule that begins with `*.`. */
export function coversName(rule: string, name: string): boolean {
  return rule.startsWith('*.') ? name.endsWith(rule.slice(1)) && name.length >= rule.length : rule === name;
}

/** Returns the rule of a list that covers this name and port; port null: any of its ports. */
export function hostRuleOf(
  hosts: readonly AllowedHost[],
  name: string,
  port: number | null,
): AllowedHost | undefined {
  return hosts.find(
    (host) =>
      coversName(host.name, name) && (port === null || host.ports === null || host.ports.includes(port)),
  );
}

/** Returns the policy under which a guest reaches what both policies allow: a job narrows the ceiling of its queue, and never widens it. */
export function narrowEgress(ceiling: EgressPolicy, wanted: EgressPolicy): EgressPolicy {
  if (isOpen(ceiling)) return wanted;
  if (isOpen(wanted)) return ceiling;
  if (ceiling.mode === 'none' || wanted.mode === 'none') return { mode: 'none' };
  const hosts = wanted.hosts.flatMap((one) => ceiling.hosts.flatMap((other) => both(one, other) ?? []));
  return hosts.length > 0 ? { mode: 'allow', hosts: simplest(hosts) } : { mode: 'none' };
}

/**
 * Returns the rules that allow the same as these: one for each name, without what a rule for more names allows already, by name. Lists that
 * allow the same have the same rules, and what is left of two lists has no more names than both together.
 */
function simplest(hosts: readonly AllowedHost[]): AllowedHost[] {
  const ports = new Map<string, Set<number> | null>();
  for (const { name, ports: some } of hosts) {
    const before = ports.get(name);
    ports.set(name, some === null || before === null ? null : new Set([...(before ?? []), ...some]));
  }
  return [...ports]
    .flatMap(([name, own]) => {
      const above = wider(name).map((rule) => ports.get(rule));
      if (above.includes(null)) return [];
      const left = own && [...own].filter((port) => !above.some((others) => others?.has(port)));
      return left?.length === 0 ? [] : [{ name, ports: left && left.toSorted((one, other) => one - other) }];
    })
    .toSorted((one, other) => (one.name < other.name ? -1 : 1));
}

/** Returns the names of the rules that cover a rule's name and more. */
function wider(rule: string): string[] {
  const labels = rule.replace(/^\*\./, '').split('.');
  return labels.map((_, at) => `*.${labels.slice(at).join('.')}`).slice(1);
}

/** Returns the rule for what both rules allow, or null if that is nothing. */
function both(one: AllowedHost, other: AllowedHost): AllowedHost | null {
  const name = coversRule(other.name, one.name)
    ? one.name
    : coversRule(one.name, other.name)
      ? other.name
      : null;
  const ports =
    one.ports === null ? other.ports : one.ports.filter((port) => other.ports?.includes(port) ?? true);
  return name === null || ports?.length === 0 ? null : { name, ports };
}

/** Returns whether a rule's name covers all that another one covers. */
function coversRule(rule: string, other: string): boolean {
  return rule === other || coversName(rule, other.replace(/^\*\./, 'any.'));
}

const tooLong = () =>
  new z.ZodError([
    { code: 'custom', path: [], message: `must have at most ${partsMax} hosts with ports`, input: undefined },
  ]);

/**
 * Returns the policy that a text stands for: `none`, `public`, `learn`, or `allow:HOST[:PORT]`, with more hosts after commas. Throws a ZodError that says
 * what is wrong with it.
 */
export function parseEgressPolicy(text: string): EgressPolicy {
  if (!text.startsWith('allow:')) return askedEgressSchema.parse({ mode: text });
  const parts = text
    .slice('allow:'.length)
    .toLowerCase()
    .split(',', partsMax + 1);
  if (parts.length > partsMax) throw tooLong();
  const ports = new Map<string, Set<number> | null>();
  for (const part of parts) {
    const [, name = part, port] = /^(.*?)(?::(\d+))?$/.exec(part) ?? [];
    const before = ports.get(name);
    if (port === undefined) ports.set(name, null);
    else if (before === undefined) ports.set(name, new Set([Number(port)]));
    else before?.add(Number(port));
  }
  return askedEgressSchema.parse({
    mode: 'allow',
    hosts: [...ports].map(([name, some]) => ({ name, ports: some && [...some] })),
  });
}

/** Returns the text of a policy that `parseEgressPolicy` reads. */
export function egressPolicyText(policy: EgressPolicy): string {
  if (policy.mode !== 'allow') return policy.mode;
  const parts = policy.hosts.flatMap(({ name, ports }) => ports?.map((port) => `${name}:${port}`) ?? [name]);
  return `allow:${parts.join()}`;
}
