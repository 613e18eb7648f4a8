export { isPublicAddress } from './addresses.ts';
export { type EgressAnswer, type EgressCall, egressAnswerSchema, egressConfigSchema } from './messages.ts';
