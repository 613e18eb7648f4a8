import type { BrokerGrant } from '@fumehood/protocol';

/** All names of the broker are below this one. `.internal` is reserved: no name of the internet ends with it. */
export const brokerDomain = 'broker.internal';

/** A server to which the broker sends requests for a guest. */
export interface Target {
  readonly grant: BrokerGrant;
  /** The name by which the guest reaches it. */
  readonly guestHost: string;
  readonly protocol: 'http:' | 'https:';
  readonly hostname: string;
  readonly port: number;
  /** `HOST`, or `HOST:PORT` for another port than that of the protocol. */
  readonly host: string;
  /** Only paths below this one, which ends with `/`. The guest asks for the same paths as the server has. */
  readonly prefix: string;
  /** The server that the credential is for, and not one that its answers lead to. */
  readonly isPrimary: boolean;
}

/** Returns the servers of a job's entries, by the name at which the guest finds each. */
export function targetsOf(grants: readonly BrokerGrant[]): ReadonlyMap<string, Target> {
  const all = grants.flatMap((grant) => {
    const own = `${grant.name}.${brokerDomain}`;
    return [
      targetOf(grant, new URL(grant.url), own, true),
      ...grant.hosts.map((origin) => {
        const url = new URL(origin);
        return targetOf(grant, url, `${url.hostname}.${own}`, false);
      }),
    ];
  });
  return new Map(all.map((target) => [target.guestHost, target]));
}

function targetOf(grant: BrokerGrant, url: URL, guestHost: string, isPrimary: boolean): Target {
  const { protocol, hostname, host } = url;
  // The files of an index of PyPI are beside it.
  const { pathname: prefix } = isPrimary && grant.kind === 'pypi' ? new URL('..', url) : url;
  return {
    ...{ grant, guestHost, hostname, host, prefix, isPrimary },
    protocol: protocol as Target['protocol'],
    port: Number(url.port) || (protocol === 'https:' ? 443 : 80),
  };
}

/** Returns the address at which the guest finds what a server of an entry has at `url`, or null if it is at none of them. */
export function guestUrlOf(
  targets: ReadonlyMap<string, Target>,
  grant: BrokerGrant,
  url: URL,
): string | null {
  for (const target of targets.values()) {
    const isThere = target.grant === grant && url.protocol === target.protocol && url.host === target.host;
    if (isThere && url.pathname.startsWith(target.prefix))
      return `http://${target.guestHost}${url.pathname}${url.search}`;
  }
  return null;
}
