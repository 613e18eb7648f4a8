import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { join } from 'node:path';
import type { FastifyInstance } from 'fastify';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { jobAuth } from '../../auth/job.ts';
import type { Db } from '../../db/connect.ts';
import type { RouteDeps, Routes } from '../deps.ts';
import { requestLimits } from '../limits.ts';
import { allRoutes } from '../routes.ts';
import { buildServer } from '../server.ts';
import { documentPath } from './document.ts';

interface Document {
  readonly servers?: { url: string }[];
  readonly paths: Record<string, Record<string, { security: { accessToken: string[] }[] }>>;
  readonly components: { schemas: Record<string, object> };
}

const registered: string[] = [];
let app: FastifyInstance;
let document: Document;

const deps = {
  stopping: new AbortController().signal,
  jobAuth: jobAuth({} as Db, { executorsWithoutJobTokens: false }),
  limits: requestLimits,
} as RouteDeps;

/** Builds a server that only registers its routes: none of them is called but that of the document. */
const build = (routes: readonly Routes[], url: string | null = null) =>
  buildServer(
    { ...deps, url },
    {
      log: pino({ level: 'silent' }),
      hosts: [],
      routes,
    },
  );

beforeAll(async () => {
  const record = (message: unknown) =>
    (message as { fastify: FastifyInstance }).fastify.addHook('onRoute', ({ method, url }) => {
      for (const one of [method].flat()) registered.push(`${one} ${url}`);
    });
  subscribe('fastify.initialization', record);
  app = await build(allRoutes).finally(() => unsubscribe('fastify.initialization', record));
  document = (await app.inject({ url: documentPath, headers: { host: 'localhost' } })).json<Document>();
});
afterAll(() => app.close());

describe('the OpenAPI document', () => {
  it('names the server with the path under which a proxy serves it, if the instance knows its address', async () => {
    expect(document.servers).toBe(undefined);
    const url = 'https://example.com/fumehood';
    const addressed = await build([], url);
    const answer = await addressed.inject({ url: documentPath, headers: { host: 'localhost' } });
    expect(answer.json<Document>().servers).toEqual([{ url }]);
    await addressed.close();
  });

  it('has every route of people, with the scope that it needs', () => {
    const routes = registered.filter((route) => / \/api\//.test(route));
    expect(routes.length).toBeGreaterThan(25);
    for (const route of routes) {
      const [method = '', url = ''] = route.split(' ');
      const path = url
        .replace('repositories/*', method === 'POST' ? 'repositories/{name}/pack' : 'repositories/{name}')
        .replace(/(index-configs|index-settings|histories|webhooks)\/\*/, '$1/{name}')
        .replace('*', '{path}')
        .replaceAll(/:(\w+)/g, '{$1}');
      const operation = document.paths[path]?.[method.toLowerCase()];
      if (method === 'HEAD' && document.paths[path]?.get) continue;
      expect(operation, route).toBeDefined();
      expect(operation?.security.length, route).toBe(url === documentPath ? 0 : 1);
    }
  });

  it('refers only to schemas that it has', () => {
    const used = JSON.stringify(document).matchAll(/"\$ref":"#\/components\/schemas\/(\w+)"/g);
    const names = [...new Set([...used].map(([, name]) => name))];
    expect(names.length).toBeGreaterThan(20);
    expect(Object.keys(document.components.schemas)).toEqual(expect.arrayContaining(names));
    expect(JSON.stringify(document)).not.toMatch(/\$defs|"\$ref":"(?!#\/components\/schemas\/)/);
  });

  it('is the one in docs (after a change: vitest --update)', async () => {
    const file = join(import.meta.dirname, '../../../../../docs/openapi.json');
    await expect(`${JSON.stringify(document, null, 1)}\n`).toMatchFileSnapshot(file);
  });

  it('cannot miss a route: one that it does not describe is not registered', async () => {
    const added: Routes = (scope) => void scope.get('/api/new', () => 'new');
    await expect(build([added])).rejects.toThrow('does not describe GET /api/new');
  });
});
