/*
 * Calls that have no place in this tree become compile errors: those that cannot be bounded, that
 * keep hidden state, that parse numbers without saying that they failed, or that draw from a
 * generator nobody seeded on purpose. The build includes this file before every product source, so
 * the headers that declare the names have to come first.
 */
#ifndef CAIRN_BASE_BANNED_H
#define CAIRN_BASE_BANNED_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* What the headers may have defined as macros. */
#undef alloca
#undef sprintf
#undef vsprintf

#pragma GCC poison strcpy strcat stpcpy sprintf vsprintf gets strtok
#pragma GCC poison atoi atol atoll atof rand srand
#pragma GCC poison ctime asctime localtime gmtime alloca

#endif
