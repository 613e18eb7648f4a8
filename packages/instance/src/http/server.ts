import Fastify, { type FastifyBaseLogger, type FastifyInstance, LogController } from 'fastify';
import { serializerCompiler, validatorCompiler } from 'fastify-type-provider-zod';
import { methodNotAllowed, routeNotFound } from '../errors.ts';
import { accessRoutes } from './api/access.ts';
import { blobRoutes } from './api/blobs.ts';
import { eventRoutes } from './api/events.ts';
import { inputRoutes } from './api/input.ts';
import { jobRoutes } from './api/jobs.ts';
import { shareRoutes } from './api/shares.ts';
import { statusRoutes } from './api/status.ts';
import type { HttpDeps } from './deps.ts';
import { answerError } from './errors.ts';
import { executorRoutes } from './executor/executor.ts';
import { jobInputRoutes } from './executor/input.ts';
import { logRoutes } from './executor/logs.ts';
import { markRoutes } from './executor/marks.ts';
import { srcVersionRoutes } from './executor/src-version.ts';
import { onlyHosts } from './hosts.ts';
import { noteMethods } from './methods.ts';

/** A request's JSON body, bytes; what is bigger has a route that takes a stream. */
const jsonLimitBytes = 4 * 2 ** 20;

export interface ServerOptions {
  readonly log: FastifyBaseLogger;
  /** Names, besides this machine's loopback, under which the instance is reached. */
  readonly hosts: readonly string[];
  /** Routes of other domains. */
  readonly plugins: readonly ((app: FastifyInstance) => Promise<void>)[];
}

/** The instance's HTTP, not yet listening. */
export async function buildServer(deps: HttpDeps, options: ServerOptions): Promise<FastifyInstance> {
  const app: FastifyInstance = Fastify({
    loggerInstance: options.log,
    // A line a request would be two for each heartbeat.
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: jsonLimitBytes,
    requestTimeout: 0, // images are big and networks slow
    routerOptions: { ignoreTrailingSlash: true, maxParamLength: 500 },
  });
  app.setValidatorCompiler(validatorCompiler);
  app.setSerializerCompiler(serializerCompiler);
  app.setErrorHandler(answerError);
  const methodsOf = noteMethods(app);
  app.setNotFoundHandler((request, reply) => {
    const allowed = methodsOf(request.url.replace(/\?.*$/s, ''));
    if (allowed.length === 0) throw routeNotFound(request);
    reply.header('allow', allowed.join(', '));
    throw methodNotAllowed(request.method, allowed);
  });
  app.addHook('onRequest', onlyHosts(options.hosts));
  await app.register(async (scope) => executorRoutes(scope, deps));
  await app.register(async (scope) => srcVersionRoutes(scope));
  await app.register(async (scope) => markRoutes(scope, deps));
  await app.register(async (scope) => logRoutes(scope, deps));
  await app.register(async (scope) => jobInputRoutes(scope, deps));
  await app.register(async (scope) => accessRoutes(scope, deps));
  await app.register(async (scope) => jobRoutes(scope, deps));
  await app.register(async (scope) => eventRoutes(scope, deps));
  await app.register(async (scope) => inputRoutes(scope, deps));
  await app.register(async (scope) => blobRoutes(scope, deps));
  await app.register(async (scope) => shareRoutes(scope, deps));
  await app.register(async (scope) => statusRoutes(scope, deps));
  for (const plugin of options.plugins) await app.register(plugin);
  return app;
}
