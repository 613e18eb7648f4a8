import { systemClock } from '@fumehood/base';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { forkAt, isOwned } from './client.ts';
import { gitea } from './gitea/client.ts';
import giteaApi from './gitea/published-api.json' with { type: 'json' };
import { github } from './github/client.ts';
import githubApi from './github/published-api.json' with { type: 'json' };
import { gitlab } from './gitlab/client.ts';
import gitlabApi from './gitlab/published-api.json' with { type: 'json' };
import type { HostClient } from './repository.ts';
import { testCodeHost } from './testing/contract.ts';
import { Forge, type HostControl } from './testing/forge.ts';
import { giteaOperations } from './testing/gitea.ts';
import { githubOperations } from './testing/github.ts';
import { gitlabOperations } from './testing/gitlab.ts';
import { type PublishedHost, startPublishedHost } from './testing/published-host.ts';

const open = (client: HostClient, url: string, path: readonly string[]) =>
  client.open({
    ...{ name: 'forge', url, token: 'a-token', path, clock: systemClock, limitedUntil: null, forks: false },
    onLimited: async () => {},
  });

describe.each([
  {
    ...{ name: 'GitHub', client: github, path: ['o', 'r'], refusesSecond: true },
    start: (forge: Forge) => {
      const { rest, graphql } = githubOperations(forge);
      return startPublishedHost(githubApi, '/api/v3', rest, graphql);
    },
  },
  {
    ...{ name: 'GitLab', client: gitlab, path: ['group', 'inner', 'r'], refusesSecond: true },
    start: (forge: Forge) => startPublishedHost(gitlabApi, '/api/v4', gitlabOperations(forge)),
  },
  {
    ...{ name: 'Gitea', client: gitea, path: ['o', 'r'], refusesSecond: false },
    start: (forge: Forge) => startPublishedHost(giteaApi, '/api/v1', giteaOperations(forge)),
  },
])('the client of $name', ({ client, path, refusesSecond, start }) => {
  const forge = new Forge(refusesSecond);
  let host: PublishedHost;
  let control: HostControl;
  beforeAll(async () => {
    host = await start(forge);
    control = forge.control(open(client, host.url, path));
  });
  afterAll(async () => {
    await host.stop();
    expect(host.violations).toEqual([]);
  });

  testCodeHost(() => control);

  test('tells apart that nobody knows yet whether one can be merged, and that it cannot be', async () => {
    const { host: opened, head, bases } = control;
    const { externalId } = await opened.open({ head, base: bases[0], title: 't', body: '', draft: false });
    const merge = () => opened.merge(externalId, { squash: false });
    for (const [mergeability, code] of [
      ['unknown', 'host_not_ready'],
      ['conflict', 'host_refused'],
    ] as const) {
      forge.mergeability = mergeability;
      await expect(merge()).rejects.toMatchObject({ code, message: expect.stringContaining('405') });
    }
    forge.mergeability = 'clean';
    await merge();
    expect(forge.pulls.at(-1)).toMatchObject({ state: 'merged', merged: 'merge' });
  });

  test('makes a fork, and opens a changeset of its branch beside that of the repository', async () => {
    const { host: opened, head, bases } = control;
    let tries = 0;
    const making = vi.waitFor(async () => {
      tries += 1;
      if (tries === 3) forge.fork = 'there';
      return await opened.fork();
    });
    const name = `bot/${path.join('-')}`;
    expect(await making).toMatchObject({ name, url: `${host.url}/${name}.git`, password: 'a-token' });
    const request = { head, base: bases[0], title: 't', body: '', draft: false };
    const [own, forked] = [await opened.open(request), await opened.open({ ...request, fork: name })];
    expect(forked.externalId).not.toBe(own.externalId);
    expect(forge.pulls.slice(-2)).toMatchObject([
      { fork: null, head },
      { fork: name, head },
    ]);
    expect(await opened.find(head, name)).toEqual(forked);
    expect(await opened.find(head)).toEqual(own);
  });

  test('needs a path of a repository', () => {
    expect(client.isRepository(path)).toBe(true);
    expect(client.isRepository(['o'])).toBe(false);
    expect(client.isRepository(['o', ''])).toBe(false);
    expect(client.isRepository(['o', 'r?x'])).toBe(false);
    expect(client.isRepository(['..', 'r'])).toBe(false);
  });
});

test.each(['../r', 'evil.test/o/r', 'o', '//evil.test', 'o/r?x', ''])(
  'the token is sent to no fork that a host says is %j',
  (name) => {
    const host = {
      name: 'forge',
      url: 'https://forge.test',
      token: 'a-token',
      path: ['o', 'r'],
      forks: true,
    };
    const repository = { ...host, clock: systemClock, limitedUntil: null, onLimited: async () => {} };
    expect(() => forkAt(repository, isOwned, name, 'u')).toThrow('is no fork');
    expect(forkAt(repository, isOwned, 'o/r', 'u').url).toBe('https://forge.test/o/r.git');
  },
);
