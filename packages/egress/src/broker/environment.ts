import type { BrokerGrant } from '@fumehood/protocol';
import { brokerDomain, targetsOf } from './targets.ts';

/** What a step's environment says of the broker. */
export interface BrokerEnvironment {
  readonly variables: Readonly<Record<string, string>>;
  /** Settings of git, by which it fetches from the broker what is below the address of an entry. */
  readonly gitConfig: readonly (readonly [name: string, value: string])[];
}

/**
 * Returns with what package managers and git find the entries of the broker, and `FUMEHOOD_BROKER_NAME` with the address of each. Nothing of it
 * has a credential.
 */
export function brokerEnvironment(grants: readonly BrokerGrant[]): BrokerEnvironment {
  const all = grants.map((grant) => ({
    ...grant,
    base: `http://${grant.name}.${brokerDomain}${new URL(grant.url).pathname}`,
  }));
  const npm = all.find(({ kind }) => kind === 'npm');
  const indexes = all.filter(({ kind }) => kind === 'pypi');
  const [index, ...moreIndexes] = indexes;
  const variables = {
    ...Object.fromEntries(
      all.map(({ name, base }) => [`FUMEHOOD_BROKER_${name.toUpperCase().replaceAll('-', '_')}`, base]),
    ),
    ...(npm && {
      npm_config_registry: npm.base,
      // Lock files name the registry itself, and stay as they are.
      npm_config_replace_registry_host: 'always',
      // It is a POST, which the entry does not take.
      npm_config_audit: 'false',
    }),
    ...(index && {
      PIP_INDEX_URL: index.base,
      PIP_TRUSTED_HOST: [...targetsOf(indexes).keys()].join(' '),
    }),
    ...(moreIndexes.length > 0 && { PIP_EXTRA_INDEX_URL: moreIndexes.map(({ base }) => base).join(' ') }),
  };
  const gitConfig = all
    .filter(({ kind }) => kind === 'git')
    .map(({ url, base }) => [`url.${asRepository(base)}.insteadOf`, asRepository(url)] as const);
  return { variables, gitConfig };
}

/** The address of a repository has no slash at its end; that of a host keeps it, or it would cover longer names of hosts. */
function asRepository(url: string): string {
  return new URL(url).pathname === '/' ? url : url.slice(0, -1);
}
