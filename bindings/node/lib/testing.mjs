import testing from './testing.js';

export const { TestServer } = testing;
