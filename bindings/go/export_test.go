package bmemc

// What tests try that no user can reach.
var CheckVersionOf = checkVersionOf
