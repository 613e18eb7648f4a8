import { Readable } from 'node:stream';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { commitNotFound } from '../errors.ts';
import { goneSignal } from '../http/closed.ts';
import { readBytes } from '../http/executor/body.ts';
import { leaseOf, requireLease } from '../http/executor/lease.ts';
import type { DomainDeps } from '../instance.ts';
import { runBackend } from './backend.ts';
import { gitRouteUnknown } from './errors.ts';
import { requestMax, unpacked } from './request.ts';
import type { CommitStore } from './store.ts';

export interface GitRouteOptions {
  /** How long nothing may move between the two sides before they are cut off; git at work says so every 5 s. Default 60,000. */
  readonly stallMs?: number;
}

type Service = 'info/refs' | 'git-upload-pack';

/**
 * `/.executors/git/{name}/info/refs?service=git-upload-pack` and `/git-upload-pack`: git's smart protocol, for reading, under a
 * job's token, of the one commit that the job is about. Whoever has no token sends no body; git is started when its request is
 * there in full, and ends with its client.
 */
export function gitRoutes(
  scope: FastifyInstance,
  deps: Pick<DomainDeps, 'spawn' | 'authenticateJob'>,
  commits: CommitStore,
  { stallMs = 60_000 }: GitRouteOptions = {},
): void {
  readBytes(scope, requestMax);
  requireLease(scope, async (request) =>
    deps.authenticateJob(request, { repository: repositoryIn(request) }),
  );
  scope.addHook('onRequest', async (request) => void request.raw.setTimeout(stallMs));
  const serve = async (request: FastifyRequest, reply: FastifyReply, service: Service) => {
    const gone = goneSignal(reply);
    const { repository, commit } = leaseOf(request);
    const directory = commits.find(repository, commit);
    if (!directory) throw commitNotFound(repository, commit);
    const body = service === 'info/refs' ? null : await unpacked(request);
    const answer = await runBackend(deps.spawn, { directory, service, headers: request.headers, body, gone });
    return reply.code(answer.status).headers(answer.headers).send(Readable.from(answer.body));
  };
  scope.get('/.executors/git/*', (request, reply) => serve(request, reply, 'info/refs'));
  scope.post('/.executors/git/*', (request, reply) => serve(request, reply, 'git-upload-pack'));
}

/** Errors: `not_found` for anything but reading by the smart protocol. */
function repositoryIn(request: FastifyRequest): string {
  const path = (request.params as { '*': string })['*'];
  const service: Service = request.method === 'POST' ? 'git-upload-pack' : 'info/refs';
  // Without a service it is the dumb protocol: files of the repository.
  const asked = (request.query as { service?: unknown }).service;
  const isSmart = service === 'git-upload-pack' || asked === 'git-upload-pack';
  if (!isSmart || !path.endsWith(`/${service}`)) throw gitRouteUnknown(request.url);
  return path.slice(0, -service.length - 1);
}
