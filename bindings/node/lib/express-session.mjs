import store from './express-session.js';

export const { BmemcStore } = store;
