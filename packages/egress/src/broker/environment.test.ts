import { brokerGrantSchema } from '@fumehood/protocol';
import { expect, it } from 'vitest';
import { brokerEnvironment } from './environment.ts';

const grant = (name: string, kind: string, url: string, more: object = {}) =>
  brokerGrantSchema.parse({
    ...{ name, kind, url, credential: { header: 'authorization', value: 'Bearer secret' }, ...more },
  });

it('package managers and git find the broker, and nothing has a credential', () => {
  const environment = brokerEnvironment([
    grant('packages', 'npm', 'https://npm.test/repo'),
    grant('index', 'pypi', 'https://pypi.test/simple', { hosts: ['https://files.test'] }),
    grant('other-index', 'pypi', 'https://other.test/simple/'),
    grant('code', 'git', 'https://git.test/team/a.git'),
    grant('all-code', 'git', 'https://code.test/'),
    grant('api', 'http', 'https://api.test/v1'),
  ]);
  expect(environment).toEqual({
    variables: {
      FUMEHOOD_BROKER_PACKAGES: 'http://packages.broker.internal/repo/',
      FUMEHOOD_BROKER_INDEX: 'http://index.broker.internal/simple/',
      FUMEHOOD_BROKER_OTHER_INDEX: 'http://other-index.broker.internal/simple/',
      FUMEHOOD_BROKER_CODE: 'http://code.broker.internal/team/a.git/',
      FUMEHOOD_BROKER_ALL_CODE: 'http://all-code.broker.internal/',
      FUMEHOOD_BROKER_API: 'http://api.broker.internal/v1/',
      npm_config_registry: 'http://packages.broker.internal/repo/',
      npm_config_replace_registry_host: 'always',
      npm_config_audit: 'false',
      PIP_INDEX_URL: 'http://index.broker.internal/simple/',
      PIP_EXTRA_INDEX_URL: 'http://other-index.broker.internal/simple/',
      PIP_TRUSTED_HOST: 'index.broker.internal files.test.index.broker.internal other-index.broker.internal',
    },
    gitConfig: [
      ['url.http://code.broker.internal/team/a.git.insteadOf', 'https://git.test/team/a.git'],
      ['url.http://all-code.broker.internal/.insteadOf', 'https://code.test/'],
    ],
  });
  expect(JSON.stringify(environment)).not.toContain('secret');
});
