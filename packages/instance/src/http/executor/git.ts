import { Readable } from 'node:stream';
import type { Spawn } from '@fumehood/base';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { commitNotFound } from '../../errors.ts';
import { runBackend } from '../../repos/backend.ts';
import { gitRouteUnknown } from '../../repos/errors.ts';
import { unpackRequest } from '../../repos/request.ts';
import { bytesOf, readBytes } from '../body.ts';
import type { RouteDeps } from '../deps.ts';
import { goneSignal } from '../gone.ts';
import { leaseOf, requireLease } from '../lease.ts';
import { bodyLimits } from '../limits.ts';
import { readAtPace } from '../pace.ts';
import { holderOf } from '../receive.ts';

export interface GitRouteOptions {
  /** How long no byte may move in either direction before the connection is closed. Git at work sends something every 5 s. */
  readonly stallMs?: number;
}

type Service = 'info/refs' | 'git-upload-pack';

/**
 * `/.executors/git/{name}/info/refs?service=git-upload-pack` and `/git-upload-pack`: git's smart protocol, for reading, under a
 * job's token, of the one commit that the job is about. The token is checked before the body is read; git starts when the whole
 * request has arrived, and is killed when its client is gone.
 */
export function gitRoutes(
  scope: FastifyInstance,
  { spawn, commits, jobAuth, limits, turns }: RouteDeps,
  { stallMs = 60_000 }: GitRouteOptions = {},
): void {
  readBytes(scope, bodyLimits.git);
  requireLease(scope, async (request) =>
    jobAuth.authenticateJob(request, { repository: repositoryIn(request) }),
  );
  scope.addHook('onRequest', async (request) => void request.raw.setTimeout(stallMs));
  const serve = async (request: FastifyRequest, reply: FastifyReply, service: Service) => {
    const gone = goneSignal(reply);
    const { repository, commit } = leaseOf(request);
    const directory = commits.find(repository, commit);
    if (!directory) throw commitNotFound(repository, commit);
    const { headers } = request;
    const body =
      service === 'info/refs'
        ? null
        : await unpackRequest(bytesOf(request), headers['content-encoding'], bodyLimits.git);
    const inTurn: Spawn = async (program) => {
      const turn = await turns.clone.take(holderOf(request), gone);
      const process = await spawn(program).catch((error: unknown) => {
        turn[Symbol.dispose]();
        throw error;
      });
      void process.exited.then(() => turn[Symbol.dispose]());
      return process;
    };
    const answer = await runBackend(inTurn, { directory, service, headers, body, gone });
    const read = readAtPace(answer.body, limits, () => reply.raw.destroy());
    return reply.code(answer.status).headers(answer.headers).send(Readable.from(read));
  };
  scope.get('/.executors/git/*', (request, reply) => serve(request, reply, 'info/refs'));
  scope.post('/.executors/git/*', (request, reply) => serve(request, reply, 'git-upload-pack'));
}

/** Returns the repository that the path names. Errors: `not_found` for anything but reading by the smart protocol. */
function repositoryIn(request: FastifyRequest): string {
  const path = (request.params as { '*': string })['*'];
  const service: Service = request.method === 'POST' ? 'git-upload-pack' : 'info/refs';
  // Without a service the client speaks the dumb protocol, which reads files of the repository.
  const asked = (request.query as { service?: unknown }).service;
  const isSmart = service === 'git-upload-pack' || asked === 'git-upload-pack';
  if (!isSmart || !path.endsWith(`/${service}`)) throw gitRouteUnknown(request.url);
  return path.slice(0, -service.length - 1);
}
