import Fastify, { type FastifyBaseLogger, type FastifyInstance, LogController } from 'fastify';
import { serializerCompiler, validatorCompiler } from 'fastify-type-provider-zod';
import { methodNotAllowed, routeNotFound } from '../errors.ts';
import type { RouteDeps, Routes } from './deps.ts';
import { answerError } from './errors.ts';
import { onlyHosts } from './hosts.ts';
import { bodyLimits } from './limits.ts';
import { recordMethods } from './methods.ts';

export interface ServerOptions {
  readonly log: FastifyBaseLogger;
  /** Names under which requests reach the instance, besides those of loopback. */
  readonly hosts: readonly string[];
  readonly routes: readonly Routes[];
}

/** Builds the instance's HTTP server, which does not listen yet. */
export async function buildServer(deps: RouteDeps, options: ServerOptions): Promise<FastifyInstance> {
  const app: FastifyInstance = Fastify({
    loggerInstance: options.log,
    // Fastify would log two lines for each heartbeat.
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: bodyLimits.api,
    requestTimeout: 0, // images are big and networks slow
    routerOptions: { ignoreTrailingSlash: true, maxParamLength: 500 },
  });
  app.setValidatorCompiler(validatorCompiler);
  app.setSerializerCompiler(serializerCompiler);
  app.setErrorHandler(answerError);
  const methodsOf = recordMethods(app);
  app.setNotFoundHandler((request, reply) => {
    const allowed = methodsOf(request.url.replace(/\?.*$/s, ''));
    if (allowed.length === 0) throw routeNotFound(request);
    reply.header('allow', allowed.join(', '));
    throw methodNotAllowed(request.method, allowed);
  });
  app.addHook('onRequest', onlyHosts(options.hosts));
  for (const routes of options.routes) await app.register(async (scope) => routes(scope, deps));
  return app;
}
