import { localSpawn, openFetch, systemClock } from '@fumehood/base';
import { fetchHistory } from '@fumehood/git';
import { afterAll, beforeAll, beforeEach } from 'vitest';
import { type GitServer, startGitServer } from '../../packages/git/src/testing/git-server.ts';
import { applyBatchSpec } from '../../packages/instance/src/changesets/apply.ts';
import { listChangesets } from '../../packages/instance/src/changesets/batch-changes.ts';
import {
  type ClaimedChangeset,
  claimChangeset,
} from '../../packages/instance/src/changesets/reconcile/claims.ts';
import { reconcileChangeset } from '../../packages/instance/src/changesets/reconcile/reconcile.ts';
import {
  type ChangesetBench,
  clientSpec,
  startChangesetBench,
} from '../../packages/instance/src/changesets/testing.ts';
import type {
  CodeHost,
  HostComment,
  RemoteChangeset,
} from '../../packages/instance/src/code-hosts/code-host.ts';
import { type Mirrors, openMirrors } from '../../packages/instance/src/repos/mirrors.ts';

const isRoot = process.getuid?.() === 0;
const spawn = localSpawn(isRoot ? { uid: 1_900_000_005, gid: process.getgid?.() ?? 0 } : null);

/** A code host in memory. It does what is asked, and then `after`. */
export class ForgeInMemory implements CodeHost {
  readonly kind = 'gitea';
  readonly drafts = true;
  forks = false;
  /** Returns the fork, once there is one. */
  fork: CodeHost['fork'] = () => Promise.reject(new Error('there is no fork'));
  readonly changesets: RemoteChangeset[] = [];
  readonly calls: string[] = [];
  readonly opened: Parameters<CodeHost['open']>[0][] = [];
  readonly comments: string[] = [];
  /** May refuse, and then nothing is done. */
  before: (call: string) => Promise<never> | undefined = () => undefined;
  after: (call: string) => Promise<void> = async () => {};
  async open(request: Parameters<CodeHost['open']>[0]): Promise<RemoteChangeset> {
    this.opened.push(request);
    const { head, base: onto, title, body, draft } = request;
    const found = await this.find(head);
    const externalId = found?.externalId ?? String(this.changesets.length + 1);
    const made = {
      externalId,
      url: `https://forge/${externalId}`,
      state: draft ? 'draft' : 'open',
      title,
      body,
      base: onto,
      head,
    } as const;
    return await this.#set('open', { ...made, headCommit: '', review: null, checks: null });
  }
  find = (head: string) =>
    Promise.resolve(this.changesets.find((one) => one.head === head && /open|draft/.test(one.state)) ?? null);
  read = (externalId: string) => this.#set('read', { externalId });
  update = (externalId: string, change: Parameters<CodeHost['update']>[1]) =>
    this.#set('update', { externalId, ...change });
  undraft = (externalId: string) => this.#set('undraft', { externalId, state: 'open' });
  close = (externalId: string) => this.#set('close', { externalId, state: 'closed' });
  reopen = (externalId: string) => this.#set('reopen', { externalId, state: 'open' });
  merge = (externalId: string, { squash }: { readonly squash: boolean }) =>
    this.#set(squash ? 'squash' : 'merge', { externalId, state: 'merged' });
  comment = (externalId: string, { id, body }: HostComment) => {
    const text = `${body} ${id}`;
    if (!this.comments.includes(text)) this.comments.push(text);
    return this.#set('comment', { externalId });
  };
  async #set(
    call: string,
    change: Partial<RemoteChangeset> & { readonly externalId: string },
  ): Promise<RemoteChangeset> {
    await this.before(call);
    const at = Number(change.externalId) - 1;
    const changed = { ...this.changesets[at], ...change } as RemoteChangeset;
    this.changesets[at] = changed;
    this.calls.push(call);
    await this.after(call);
    return changed;
  }
}

/** Mirrors the remote, as a sync does. Returns the place of the mirror. */
async function mirrorRemote(mirrors: Mirrors, remote: GitServer, base: string): Promise<string> {
  const fetchFrom = openFetch(remote.url);
  const authorization = `Basic ${Buffer.from('u:secret').toString('base64')}`;
  const pack = await fetchHistory(
    (request) => fetchFrom({ ...request, headers: { ...request.headers, authorization } }),
    [base],
    [],
  );
  const made = await mirrors.make();
  await made.mirror.update({ head: 'refs/heads/main', refs: new Map([['refs/heads/main', base]]) }, pack);
  return made.place;
}

/** The reconciler of the tests of a file, with a git remote that has one commit, and a code host in memory. Each test begins without changesets. */
export function stageReconciler(repository: string) {
  let bench: ChangesetBench;
  let mirrors: Mirrors;
  let remote: GitServer;
  let base: string;
  let place: string;
  let forge: ForgeInMemory;
  beforeAll(async () => {
    bench = await startChangesetBench();
    mirrors = await openMirrors(bench.root, spawn);
    remote = await startGitServer('secret');
    base = remote.commit({ x: 'x\n' });
    place = await mirrorRemote(mirrors, remote, base);
  });
  afterAll(async () => {
    await bench[Symbol.asyncDispose]();
    remote.stop();
  });
  beforeEach(async () => {
    await bench.clear();
    for (const ref of remote
      .git('for-each-ref', '--format=%(refname)')
      .split('\n')
      .filter((name) => name !== '' && name !== 'refs/heads/main'))
      remote.git('update-ref', '-d', ref);
    remote.onPush(async () => {});
    await bench.mirror(repository, remote.url, { username: 'u', password: 'secret' });
    await bench.run(`update repositories set place = '${place}' where name = '${repository}'`);
    forge = new ForgeInMemory();
  });
  const reconcileOne = async (claimed: ClaimedChangeset) => {
    const hostOf = () => Promise.resolve(forge);
    const deps = { ...bench, mirrors, spawn, clock: systemClock, hostOf };
    await reconcileChangeset(deps, claimed, new AbortController().signal);
  };
  return {
    get bench() {
      return bench;
    },
    get remote() {
      return remote;
    },
    get forge() {
      return forge;
    },
    /** The commit of the remote's main branch. */
    get base() {
      return base;
    },
    onForge: () =>
      bench.run(
        `insert into code_hosts (name, kind, url, token, set_by) values ('forge', 'gitea', '${remote.url}', '\\x00', 'a')`,
      ),
    spec: (change: Parameters<typeof clientSpec>[1] = {}, more: object = {}) =>
      clientSpec(repository, change, { baseRev: base, published: true, ...more }),
    apply: async (...changesets: object[]): Promise<string> => {
      const { id } = await bench.spec('tidy', changesets);
      const { publicId } = await applyBatchSpec(bench, bench.person, id, {});
      return publicId;
    },
    /** Reconciles until nothing is due. */
    reconcile: async (): Promise<void> => {
      for (;;) {
        const claimed = await claimChangeset(bench.db, Date.now());
        if (claimed === null) return;
        if (claimed !== 'not its turn') await reconcileOne(claimed);
      }
    },
    shown: async (batchChange: string) => (await listChangesets(bench.db, bench.person, batchChange))[0],
    branch: (name = 'fix') => remote.git('for-each-ref', '--format=%(objectname)', `refs/heads/${name}`),
    /** The replica that has the claim dies: its claim runs out. */
    expireClaims: () =>
      bench.run(`update changesets set claimed_until = clock_timestamp() where claim is not null`),
  };
}

/** Returns a promise that resolves when `release` is called, and one that resolves when somebody waits for it. */
export function gate() {
  let release = () => {};
  const open = new Promise<void>((resolve) => (release = resolve));
  let reached = () => {};
  const waiting = new Promise<void>((resolve) => (reached = resolve));
  return { waiting, release, wait: () => (reached(), open) };
}
