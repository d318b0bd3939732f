// In place of gloo's header of this name, which no wheel ships. ProcessGroupGloo.hpp includes it and uses none of it.
#pragma once
