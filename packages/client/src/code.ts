import {
  type CodeCallers,
  type CodeFileQuery,
  type CodeHover,
  type CodeLocations,
  type CodePageQuery,
  type CodeQuery,
  type CodeSymbols,
  codeCallersSchema,
  codeHoverSchema,
  codeLocationsSchema,
  codeSymbolsSchema,
  type CreateIndexing,
  type Dependencies,
  dependenciesSchema,
  type DependencyIndexing,
  dependencyIndexingSchema,
  type Indexers,
  type IndexConfig,
  type IndexLanguage,
  type Indexing,
  indexConfigSchema,
  type IndexSettings,
  indexSettingsSchema,
  indexersSchema,
  type IndexPolicy,
  type IndexStatus,
  indexingSchema,
  indexPoliciesSchema,
  indexPolicySchema,
  indexStatusSchema,
  type SetDependencyIndexing,
  type SetIndexPolicy,
  type SetIndexSettings,
} from '@fumehood/protocol';
import type * as z from 'zod';
import { encodePath, type Http, queryOf } from './http.ts';

/** Has repositories indexed, and asks their indexes. */
export interface CodeClient {
  /** Has a commit indexed, or says what that would be. Errors: `repository_not_found`, `revision_not_found`, `index_config_invalid`. */
  index(request: CreateIndexing): Promise<Indexing>;
  /** Returns where the symbol at a place is defined. Errors: `not_indexed`, and as `index`. */
  definition(place: CodeQuery): Promise<CodeLocations>;
  /** Returns a page of where the symbol at a place is referred to. Errors: as `definition`. */
  references(place: CodePageQuery): Promise<CodeLocations>;
  /** Returns a page of what implements the symbol at a place. Errors: as `definition`. */
  implementations(place: CodePageQuery): Promise<CodeLocations>;
  /** Returns a page of where the symbol at a place is referred to, and in which definition. Errors: as `definition`. */
  callers(place: CodePageQuery): Promise<CodeCallers>;
  /** Returns what is known of the symbol at a place. Errors: as `definition`. */
  hover(place: CodeQuery): Promise<CodeHover>;
  /** Returns what a file defines. Errors: as `definition`. */
  symbols(file: CodeFileQuery): Promise<CodeSymbols>;
  /** Returns what was decided of the latest commits of a repository, and what became of it, newest first. */
  status(repository: string): Promise<IndexStatus>;
  policies(): Promise<IndexPolicy[]>;
  setPolicy(name: string, policy: SetIndexPolicy): Promise<IndexPolicy>;
  /** Errors: `index_policy_not_found`. */
  removePolicy(name: string): Promise<void>;
  /** Returns the index configuration that the instance has for a repository. Errors: `index_config_not_found`. */
  config(repository: string): Promise<IndexConfig>;
  /** Stores the index configuration of a repository, YAML or JSON. Errors: `index_config_invalid`, `repository_not_found`. */
  setConfig(repository: string, text: string): Promise<IndexConfig>;
  /** Errors: `index_config_not_found`. */
  removeConfig(repository: string): Promise<void>;
  /** Returns what an admin has set for the index jobs of a repository. Errors: `index_settings_not_found`. */
  settings(repository: string): Promise<IndexSettings>;
  /** Sets what the index jobs of a repository get, in place of earlier settings. Errors: `repository_not_found`, `broker_not_found`. */
  setSettings(repository: string, settings: SetIndexSettings): Promise<IndexSettings>;
  /** Errors: `index_settings_not_found`. */
  removeSettings(repository: string): Promise<void>;
  /** Returns the packages that indexes of a repository name, or of all repositories, and which are indexed. Errors: `repository_not_found`. */
  dependencies(repository?: string): Promise<Dependencies>;
  /** Has packages indexed that indexes name. Errors: `broker_not_found`. */
  indexDependencies(settings: SetDependencyIndexing): Promise<DependencyIndexing>;
  /** Has no more packages indexed. */
  stopIndexingDependencies(): Promise<void>;
  indexers(): Promise<Indexers>;
  setIndexer(language: IndexLanguage, image: string): Promise<void>;
  resetIndexer(language: IndexLanguage): Promise<void>;
}

/** Makes the part of a client for code. */
export function codeClient(http: Http): CodeClient {
  const discard = async (request: Parameters<Http['send']>[0]) => {
    await (await http.send(request)).body?.cancel();
  };
  const ask = <S extends z.ZodType>(schema: S, question: string, query: CodeFileQuery) =>
    http.ask(schema, { method: 'GET', path: `/api/code/${question}?${queryOf(query)}` });
  const configPath = (name: string) => `/api/index-configs/${encodePath(name)}`;
  const settingsPath = (name: string) => `/api/index-settings/${encodePath(name)}`;
  return {
    index: (request) => http.ask(indexingSchema, { method: 'POST', path: '/api/indexings', json: request }),
    definition: (place) => ask(codeLocationsSchema, 'definition', place),
    references: (place) => ask(codeLocationsSchema, 'references', place),
    implementations: (place) => ask(codeLocationsSchema, 'implementations', place),
    callers: (place) => ask(codeCallersSchema, 'callers', place),
    hover: (place) => ask(codeHoverSchema, 'hover', place),
    symbols: (file) => ask(codeSymbolsSchema, 'symbols', file),
    status: (repository) =>
      http.ask(indexStatusSchema, { method: 'GET', path: `/api/indexings?${queryOf({ repository })}` }),
    policies: async () =>
      (await http.ask(indexPoliciesSchema, { method: 'GET', path: '/api/index-policies' })).policies,
    setPolicy: (name, policy) =>
      http.ask(indexPolicySchema, {
        method: 'PUT',
        path: `/api/index-policies/${encodeURIComponent(name)}`,
        json: policy,
      }),
    removePolicy: (name) =>
      discard({ method: 'DELETE', path: `/api/index-policies/${encodeURIComponent(name)}` }),
    config: (name) => http.ask(indexConfigSchema, { method: 'GET', path: configPath(name) }),
    setConfig: (name, text) =>
      http.ask(indexConfigSchema, { method: 'PUT', path: configPath(name), json: { text } }),
    removeConfig: (name) => discard({ method: 'DELETE', path: configPath(name) }),
    settings: (name) => http.ask(indexSettingsSchema, { method: 'GET', path: settingsPath(name) }),
    setSettings: (name, settings) =>
      http.ask(indexSettingsSchema, { method: 'PUT', path: settingsPath(name), json: settings }),
    removeSettings: (name) => discard({ method: 'DELETE', path: settingsPath(name) }),
    dependencies: (repository) =>
      http.ask(dependenciesSchema, { method: 'GET', path: `/api/dependencies?${queryOf({ repository })}` }),
    indexDependencies: (json) =>
      http.ask(dependencyIndexingSchema, { method: 'PUT', path: '/api/dependency-indexing', json }),
    stopIndexingDependencies: () => discard({ method: 'DELETE', path: '/api/dependency-indexing' }),
    indexers: async () => (await http.ask(indexersSchema, { method: 'GET', path: '/api/indexers' })).indexers,
    setIndexer: (language, image) =>
      discard({ method: 'PUT', path: `/api/indexers/${language}`, json: { image } }),
    resetIndexer: (language) => discard({ method: 'DELETE', path: `/api/indexers/${language}` }),
  };
}
