import { localSpawn, type Spawn, type SpawnedProcess } from '@fumehood/base';
import type { Job } from '@fumehood/protocol';
import type { TestServer } from '../db/testing.ts';
import { openCommits } from '../repos/store.ts';
import { jobHeaders } from './executor-client.ts';
import {
  extendLease,
  forgetLosses,
  startTestInstance,
  type TestInstance,
  type TestSettings,
} from './instance.ts';

export interface Answer {
  readonly status: number;
  readonly bytes: Buffer;
}

/** An instance, and requests to its git route with the token of one job. */
export interface GitTarget {
  readonly instance: TestInstance;
  /** The programs that requests started, in order. */
  readonly started: readonly SpawnedProcess[];
  /** Sends a commit to the instance. */
  put(commit: string, pack: Buffer, repository?: string): Promise<Response>;
  /** Creates a job for this commit and leases it. The following requests carry its token. */
  lease(commit: string, options?: { repository?: string; image?: string; executor?: string }): Promise<Job>;
  /** Leases the next job. The following requests carry its token. */
  next(options?: { executor?: string; waitMs?: number }): Promise<Job>;
  /** Returns the headers of the leased job. */
  readonly headers: () => Record<string, string>;
  /** Sends a request of `git-upload-pack` by a version of git's protocol. */
  ask(version: number, body: Uint8Array, headers?: Record<string, string>): Promise<Answer>;
  stop(): Promise<void>;
}

/** The repository of the job. */
export const repository = 'acme/payments';
export const gitPath = `/.executors/git/${repository}`;

const profile: Spawn = localSpawn(
  process.getuid?.() === 0 ? { uid: 1_900_000_004, gid: process.getgid?.() ?? 0 } : null,
);

/** Starts an instance with the real store of commits and the real git. */
export async function startGitTarget(server: TestServer, settings: TestSettings = {}): Promise<GitTarget> {
  const started: SpawnedProcess[] = [];
  const spawn: Spawn = async (request) => {
    const process = await profile(request);
    started.push(process);
    return process;
  };
  const instance = await startTestInstance(await server.clone(), { openCommits, ...settings, spawn });
  let job: Job;
  const headers = () => jobHeaders(job);
  const next: GitTarget['next'] = async ({ waitMs = 0, ...options } = {}) => {
    const until = Date.now() + waitMs;
    let leased: Job | null;
    do {
      await forgetLosses(instance);
      leased = await instance.lease({ queues: ['codeintel'], ...options, waitMs: Math.min(waitMs, 300) });
    } while (!leased && Date.now() < until);
    if (!leased) throw new Error('no job was leased');
    await extendLease(instance, leased);
    job = leased;
    return leased;
  };
  return {
    instance,
    started,
    headers,
    put: (commit, pack, name = repository) =>
      instance.api('POST', `/api/repositories/${name}/pack?commit=${commit}`, pack),
    async lease(commit, { repository: name = repository, image, executor = 'e1' } = {}) {
      const indexer = { name: 'scip-typescript', image: await instance.image(image), argv: ['index'] };
      const request = { queue: 'codeintel', repository: name, commit, indexer, accept: ['vm-emulated'] };
      await instance.api('POST', '/api/jobs', request);
      return await next({ executor, waitMs: 2_000 });
    },
    next,
    async ask(version, body, more) {
      const answer = await fetch(`${instance.url}${gitPath}/git-upload-pack`, {
        method: 'POST',
        headers: {
          ...headers(),
          'content-type': 'application/x-git-upload-pack-request',
          ...(version > 0 && { 'git-protocol': `version=${version}` }),
          ...more,
        },
        body: new Uint8Array(body),
      });
      return { status: answer.status, bytes: Buffer.from(await answer.arrayBuffer()) };
    },
    stop: () => instance.stop(),
  };
}
