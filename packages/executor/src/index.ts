export { executorFileSchema, type HelperSettings, helperConfigSchema } from './helper/config.ts';
