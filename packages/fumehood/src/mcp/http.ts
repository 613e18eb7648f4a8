import { createHash, timingSafeEqual } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import { usage } from '../errors.ts';
import { isLoopback } from '../target/address.ts';
import { type CodeSource, makeMcpServer } from './server.ts';

/** Where the server listens. */
export interface McpAddress {
  /** As in a URL: an IPv6 address is in brackets. */
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
}

/** Bounds of what clients may hold. A client that is silent in a request, or between two, loses its connection. */
const limits = { bodyBytes: 1_048_576, connections: 64, headMs: 10_000, requestMs: 30_000, idleMs: 5_000 };
const path = '/mcp';
/** Least characters of the token that clients have to send. */
const tokenMin = 32;

/**
 * Serves coding agents over HTTP: each request is answered by itself, with JSON. A request is answered only if its `Host` names this
 * address, and its `Origin`, if it has one, this server: a page in a browser may not use it. With a token, only if it has that, too. Errors: `usage`
 * for an address that cannot be listened on, and for one beyond loopback without a token.
 */
export async function serveHttp(
  source: CodeSource,
  { host, port }: McpAddress,
  token: string | undefined,
): Promise<{ readonly url: string; close(): Promise<void> }> {
  checkToken(host, token);
  const server = createServer({
    headersTimeout: limits.headMs,
    requestTimeout: limits.requestMs,
    keepAliveTimeout: limits.idleMs,
    connectionsCheckingInterval: limits.headMs / 4,
  });
  server.maxConnections = limits.connections;
  try {
    await once(server.listen({ host: host.replace(/^\[|\]$/g, ''), port }), 'listening');
  } catch (error) {
    throw usage(
      `${host}:${port} cannot be listened on: ${(error as Error).message}`,
      'Give an address of this machine, and a port that no other program has.',
    );
  }
  const names = isLoopback(host) ? ['127.0.0.1', 'localhost', '[::1]'] : [host];
  const { port: listening } = server.address() as AddressInfo;
  const allowedHosts = names.map((name) => `${name}:${listening}`);
  const protection = {
    ...{ enableDnsRebindingProtection: true, allowedHosts },
    allowedOrigins: allowedHosts.map((one) => `http://${one}`),
  };
  server.on('request', (request, response) => {
    if (token !== undefined && !hasToken(request, token))
      refuse(response, 401, 'send the token of FUMEHOOD_MCP_TOKEN as Authorization: Bearer TOKEN');
    else if (request.url?.split('?')[0] !== path) refuse(response, 404, `the server is at ${path}`);
    else if (request.method !== 'POST') refuse(response, 405, 'send each message with POST');
    else
      void answer(source, protection, request, response).catch(() => {
        response.destroy(); // the client is gone, or the SDK has begun an answer that it cannot end
      });
  });
  return {
    url: `http://${host}:${listening}${path}`,
    async close() {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

/** Answers one request by a server of its own, as the SDK has it for a server without sessions. */
async function answer(
  source: CodeSource,
  protection: object,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const server = makeMcpServer(source);
  const transport = new StreamableHTTPServerTransport({
    ...{ ...protection, enableJsonResponse: true, maxRequestBodySize: limits.bodyBytes },
  });
  response.once('close', () => void server.close());
  await server.connect(transport);
  await transport.handleRequest(request, response);
}

/** Errors: `usage`. */
function checkToken(host: string, token: string | undefined): void {
  if (/^(0\.0\.0\.0|\[::\])$/.test(host))
    throw usage(
      `${host} stands for every address of this machine, but the server checks by which name it is called`,
      'Give the one name or address by which agents reach it.',
    );
  if (token === undefined && !isLoopback(host))
    throw usage(
      `everybody who reaches ${host} could ask with your access token`,
      'Set FUMEHOOD_MCP_TOKEN to a secret of at least 32 characters, such as `openssl rand -hex 32` prints, and give it to the agents.',
    );
  if (token !== undefined && (token.length < tokenMin || !/^[\x21-\x7e]+$/.test(token)))
    throw usage(
      `FUMEHOOD_MCP_TOKEN is not one word of at least ${tokenMin} characters`,
      'Set it to what `openssl rand -hex 32` prints.',
    );
}

/** Compares digests, which have one length whatever a client sends. */
function hasToken({ headers }: IncomingMessage, token: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(headers.authorization ?? ''), digest(`Bearer ${token}`));
}

/** Answers as the protocol has its errors, and closes the connection, whose body nobody reads. */
function refuse(response: ServerResponse, status: number, message: string): void {
  const headers = {
    ...{ 'content-type': 'application/json', connection: 'close' },
    ...(status === 401 && { 'www-authenticate': 'Bearer' }),
    ...(status === 405 && { allow: 'POST' }),
  };
  response
    .writeHead(status, headers)
    .end(JSON.stringify({ jsonrpc: '2.0', error: { code: -32_000, message }, id: null }));
}
