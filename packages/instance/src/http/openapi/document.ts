import type { FastifyInstance, FastifySchema } from 'fastify';
import type { z } from 'zod';
import { accessOf } from '../../auth/scopes.ts';
import type { Operation } from './operation.ts';
import { operations } from './operations.ts';
import {
  type AnswerName,
  answerReference,
  type JsonSchema,
  namedSchemas,
  parameterSchemas,
  requestSchema,
} from './schemas.ts';

/** The path of the document, which needs no token. */
export const documentPath = '/api/openapi.json';

/** A route of people, as it was registered. */
interface Registered {
  readonly method: string;
  readonly url: string;
  readonly schema: FastifySchema;
}

/**
 * Serves the OpenAPI document of all routes below `/api` that are added to the app from now on. It is made from the zod schemas that
 * check the requests, so it cannot differ from them. `instanceUrl` is the address of the instance for other machines. Errors: `TypeError` for a route that `operations.ts` does not describe.
 */
export function serveDocument(app: FastifyInstance, instanceUrl: string | null): void {
  const registered: Registered[] = [];
  app.addHook('onRoute', ({ method, url, schema = {} }) => {
    if (!url.startsWith('/api/')) return;
    for (const one of [method].flat()) {
      const isHeadOfGet = one === 'HEAD' && operations[`GET ${url}`] !== undefined;
      if (!isHeadOfGet) registered.push({ method: one, url, schema: describedSchema(one, url, schema) });
    }
  });
  let document: object | undefined;
  app.get(documentPath, async (_request, reply) =>
    reply.type('application/json').send((document ??= documentOf(registered, instanceUrl))),
  );
}

function describedSchema(method: string, url: string, schema: FastifySchema): FastifySchema {
  if (!operations[`${method} ${url}`])
    throw new TypeError(`http/openapi/operations.ts does not describe ${method} ${url}`);
  return schema;
}

function documentOf(routes: readonly Registered[], instanceUrl: string | null): object {
  const paths: Record<string, Record<string, object>> = {};
  for (const route of routes) {
    const operation = operations[`${route.method} ${route.url}`] as Operation;
    const path = operation.wildcard?.path ?? route.url.replaceAll(/:(\w+)/g, '{$1}');
    (paths[path] ??= {})[route.method.toLowerCase()] = operationOf(route, operation);
  }
  const sorted = Object.entries(paths).sort(([a], [b]) => (a < b ? -1 : 1));
  return {
    openapi: '3.1.0',
    info: {
      title: 'Fumehood',
      version: '1',
      description:
        'The API of an instance for people and programs. A request carries `Authorization: token <access token>`; `security` names the scope that the token needs. docs/api.md is an introduction.',
    },
    ...(instanceUrl !== null && { servers: [{ url: instanceUrl }] }),
    paths: Object.fromEntries(sorted),
    components: {
      schemas: namedSchemas(),
      securitySchemes: {
        accessToken: {
          type: 'apiKey',
          in: 'header',
          name: 'Authorization',
          description: '`token <access token>`',
        },
      },
    },
  };
}

function operationOf({ method, url, schema }: Registered, operation: Operation): object {
  const { summary, answers, bytes, headers = {}, wildcard } = operation;
  const body = schema.body as z.ZodType | undefined;
  const parameters = [
    ...(wildcard ? [parameter('path', wildcard.name, requestSchema(wildcard.schema), true)] : []),
    ...parametersOf('path', schema.params),
    ...parametersOf('query', schema.querystring),
    ...Object.entries(headers).map(([name, header]) =>
      parameter('header', name, requestSchema(header), false),
    ),
  ];
  const content = body
    ? { 'application/json': { schema: requestSchema(body) } }
    : bytes && { 'application/octet-stream': {} };
  return {
    summary,
    security: url === documentPath ? [] : [{ accessToken: [accessOf(method, url).scope] }],
    ...(parameters.length > 0 && { parameters }),
    ...(content && { requestBody: { required: true, content } }),
    responses: {
      ...Object.fromEntries(Object.entries(answers).map(([status, answer]) => [status, answerOf(answer)])),
      default: {
        description: 'A refusal.',
        content: { 'application/json': { schema: answerReference('Error') } },
      },
    },
  };
}

function answerOf(answer: Operation['answers'][number] | undefined): object {
  const description = 'Success.';
  if (answer === null || answer === undefined) return { description };
  if (typeof answer === 'object')
    return { description, content: { 'text/event-stream': { schema: answerReference(answer.events) } } };
  if (answer.includes('/')) return { description, content: { [answer]: {} } };
  return {
    description,
    content: { 'application/json': { schema: answerReference(answer as AnswerName) } },
  };
}

/** Returns the parameters that an object schema stands for. */
function parametersOf(place: 'path' | 'query', schema: unknown): object[] {
  if (schema === undefined) return [];
  const { properties, required } = parameterSchemas(schema as z.ZodObject);
  // The operation of a route with `*` describes that parameter.
  const named = Object.entries(properties).filter(([name]) => name !== '*');
  return named.map(([name, one]) => parameter(place, name, one, required.includes(name)));
}

function parameter(place: string, name: string, schema: JsonSchema, required: boolean): object {
  return { name, in: place, required, schema };
}
