// In place of libtorch's header of this name, which needs Python's: FakeProcessGroup.hpp includes it and uses nothing of it.
#pragma once
