import Fastify, {
  type FastifyBaseLogger,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  LogController,
} from 'fastify';
import { serializerCompiler, validatorCompiler } from 'fastify-type-provider-zod';
import { methodNotAllowed, routeNotFound } from '../errors.ts';
import { headOptions } from './connections.ts';
import type { RouteDeps, Routes } from './deps.ts';
import { answerError } from './errors.ts';
import { onlyHosts } from './hosts.ts';
import { bodyLimits } from './limits.ts';
import { recordMethods } from './methods.ts';
import { nameVersion } from './negotiate.ts';
import { serveDocument } from './openapi/document.ts';
import { routedUrl } from './raw-path.ts';
import { boundBodies } from './receive.ts';
import { reservedRoutes } from './routes.ts';
import { requireStorable } from './texts.ts';

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
    requestTimeout: 0, // bodies have limits of their own
    http: headOptions(deps.limits),
    rewriteUrl: routedUrl,
    routerOptions: { ignoreTrailingSlash: true, maxParamLength: 500 },
  });
  app.setValidatorCompiler(validatorCompiler);
  app.setSerializerCompiler(serializerCompiler);
  app.setErrorHandler(answerError);
  const methodsOf = recordMethods(app);
  app.addHook('onRequest', nameVersion);
  app.addHook('onRequest', onlyHosts(options.hosts));
  const refuse = (request: FastifyRequest, reply: FastifyReply) => {
    const allowed = methodsOf(request.url.replace(/\?.*$/s, ''));
    if (allowed.length === 0) throw routeNotFound(request);
    reply.header('allow', allowed.join(', '));
    throw methodNotAllowed(request.method, allowed);
  };
  app.setNotFoundHandler(refuse);
  // In a hook, because Fastify reads the body of a request before it calls the handler.
  app.addHook('onRequest', async (request, reply) => {
    if (request.is404) refuse(request, reply);
  });
  app.addHook('preValidation', requireStorable);
  boundBodies(app, deps.limits);
  serveDocument(app, deps.url);
  for (const routes of options.routes) {
    const own = reservedRoutes.has(routes) ? { ...deps, db: deps.reservedDb } : deps;
    await app.register(async (scope) => routes(scope, own));
  }
  return app;
}
