import { Readable } from 'node:stream';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { commitNotFound } from '../errors.ts';
import type { DomainDeps } from '../instance.ts';
import { runBackend } from './backend.ts';
import { gitRouteUnknown } from './errors.ts';
import type { CommitStore } from './store.ts';

/**
 * `/.executors/git/{name}/info/refs?service=git-upload-pack` and `/git-upload-pack`: git's smart protocol, for reading, under a
 * job's token, of the one commit that the job is about.
 */
export function gitRoutes(
  scope: FastifyInstance,
  deps: Pick<DomainDeps, 'spawn' | 'authenticateJob'>,
  commits: CommitStore,
): void {
  scope.removeAllContentTypeParsers();
  scope.addContentTypeParser('*', (_request, payload, done) => done(null, payload));
  const serve = async (
    request: FastifyRequest,
    reply: FastifyReply,
    service: 'info/refs' | 'git-upload-pack',
  ) => {
    const path = (request.params as { '*': string })['*'];
    if (!path.endsWith(`/${service}`)) throw gitRouteUnknown(request.url);
    const repository = path.slice(0, -service.length - 1);
    const lease = await deps.authenticateJob(request, { repository });
    const directory = commits.find(repository, lease.commit);
    if (!directory) throw commitNotFound(repository, lease.commit);
    const gone = new AbortController();
    reply.raw.once('close', () => gone.abort());
    const body = service === 'info/refs' ? null : ((request.body as Readable | undefined) ?? request.raw);
    const answer = await runBackend(deps.spawn, {
      directory,
      service,
      headers: request.headers,
      body,
      gone: gone.signal,
    });
    return reply.code(answer.status).headers(answer.headers).send(Readable.from(answer.body));
  };
  scope.get('/.executors/git/*', (request, reply) => {
    // Without a service it is the dumb protocol: files of the repository.
    const { service } = request.query as { service?: unknown };
    if (service !== 'git-upload-pack') throw gitRouteUnknown(request.url);
    return serve(request, reply, 'info/refs');
  });
  scope.post('/.executors/git/*', (request, reply) => serve(request, reply, 'git-upload-pack'));
}
