import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { collect } from '@fumehood/base';
import * as z from 'zod';

/** What a code host publishes of an operation of its API, as far as a client uses it. Schemas are JSON Schemas. */
interface PublishedOperation {
  readonly query?: Readonly<Record<string, { readonly type: unknown }>>;
  readonly body?: object;
  /** Of a success. */
  readonly status: number;
  /** Those of the refusals that it names. */
  readonly refusals: readonly number[];
  readonly answer: object;
}

/** What a code host publishes of its API: by `METHOD /path/{parameter}`. */
export interface PublishedApi {
  readonly version: string;
  readonly operations: Readonly<Record<string, PublishedOperation>>;
}

export interface HostedRequest {
  /** The parameters of the path, decoded. */
  readonly params: readonly string[];
  readonly query: URLSearchParams;
  readonly body: unknown;
}

export interface HostedAnswer {
  /** Missing: that of a success. */
  readonly status?: number;
  readonly body: unknown;
}

/** The operations of a server in a test. */
export type Operations = Readonly<Record<string, (request: HostedRequest) => HostedAnswer>>;

export interface PublishedHost {
  readonly url: string;
  /** What requests and answers had that the host does not publish; the request is refused then. */
  readonly violations: readonly string[];
  stop(): Promise<void>;
}

const parsers = new WeakMap<object, z.ZodType>();

function parserOf(schema: object): z.ZodType {
  const parser = parsers.get(schema) ?? z.fromJSONSchema(schema as z.core.JSONSchema.JSONSchema);
  parsers.set(schema, parser);
  return parser;
}

/** Statuses that every operation may answer. */
const general = [401, 403, 429, 500, 502, 503];

/**
 * Starts a server that has the operations of a code host below a path, and holds requests and answers to what the host publishes.
 * `unpublished`: operations of which nothing is published in this form, by their whole path.
 */
export async function startPublishedHost(
  { operations }: PublishedApi,
  below: string,
  handlers: Operations,
  unpublished: Operations = {},
): Promise<PublishedHost> {
  const violations: string[] = [];
  const check = (what: string, schema: object | undefined, value: unknown) => {
    if (schema === undefined) return value === undefined || violations.push(`${what} is not known`);
    const { error } = parserOf(schema).safeParse(value);
    return error === undefined || violations.push(`${what}: ${z.prettifyError(error)}`);
  };
  const answer = async (request: IncomingMessage): Promise<HostedAnswer & { status: number }> => {
    const url = new URL(request.url ?? '/', 'http://host');
    const bytes = await collect(request, 2 ** 20);
    const body = bytes.length === 0 ? undefined : (JSON.parse(bytes.toString('utf8')) as unknown);
    const direct = unpublished[`${request.method} ${url.pathname}`];
    if (direct) return { status: 200, ...direct({ params: [], query: url.searchParams, body }) };
    for (const [name, handler] of Object.entries(handlers)) {
      const [method, path = ''] = name.split(' ');
      const pattern = new RegExp(`^${below}${path.replaceAll(/\{\w+\}/g, '([^/]+)')}$`);
      const found = pattern.exec(url.pathname);
      const operation = operations[name];
      if (method !== request.method || !found || !operation) continue;
      for (const [key, value] of url.searchParams) {
        const schema = operation.query?.[key];
        const isNumber = schema?.type === 'integer';
        check(`${name} ?${key}`, schema, isNumber ? Number(value) : value);
      }
      const before = violations.length;
      check(`the body of ${name}`, operation.body, body);
      if (violations.length > before) return { status: 422, body: { message: violations.at(-1) } };
      const params = found.slice(1).map(decodeURIComponent);
      const { status = operation.status, body: answered } = handler({
        params,
        query: url.searchParams,
        body,
      });
      if (status === operation.status) check(`the answer to ${name}`, operation.answer, answered);
      else if (![...operation.refusals, ...general].includes(status))
        violations.push(`${name} answers ${status}`);
      return { status, body: answered };
    }
    violations.push(`${request.method} ${url.pathname} is not known`);
    return { status: 404, body: { message: 'Not Found' } };
  };
  const server = createServer((request, response) => {
    void answer(request).then(({ status, body }) =>
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body)),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    violations,
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
