"""Makes PyTorch's wheel for Linux run without CUDA's libraries, which would be some gigabytes more.

    python torch_without_cuda.py SITE_PACKAGES

The package index has no other wheel for Linux. Its GPU half is deleted. What its Python bindings link to of that
half is replaced by a library of functions that do nothing, since loading the bindings takes them to be there.
Needs nm and a C compiler.
"""

import pathlib
import re
import shutil
import subprocess
import sys

# Names of the namespaces at, c10, c10d, sdp and torch, of their type information and tables, and two C libraries.
OF_THE_GPU_HALF = re.compile(r"_ZT?[ISV]?N?K?(2at|3c10|3sdp|4c10d|5torch)|cudnn|cuFile")
DELETED = ["include", "test", "bin/p*", "lib/libtorch_cuda*", "lib/libtorch_nvshmem*", "lib/libcaffe2_nvrtc*"]


def symbols(library, kind):
    """The dynamic symbols that a library has (`defined`) or needs (`undefined`)."""
    command = ["nm", "-D", f"--{kind}-only", library]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return {line.split()[-1].split("@")[0] for line in lines}


def stand_ins(names):
    """C source that defines these symbols: functions return zeroed memory, types and tables are empty ones."""
    yield 'extern char class_type[] __asm__("_ZTVN10__cxxabiv117__class_type_infoE");'
    yield "static char zeros[4096];"
    for i, name in enumerate(names):
        if name.startswith("_ZTI"):
            yield f'extern void *s{i}[2] __asm__("{name}"); void *s{i}[2] = {{class_type + 16, "{name[4:]}"}};'
        elif name.startswith("_ZTV"):
            yield f'extern void *s{i}[64] __asm__("{name}"); void *s{i}[64];'
        else:
            yield f'void *s{i}(void) __asm__("{name}"); void *s{i}(void) {{ return zeros; }}'


def compile_library(path, source):
    command = ["c++", "-x", "c", "-shared", "-fPIC", f"-Wl,-soname,{path.name}", "-o", path, "-"]
    subprocess.run(command, check=True, input=source, text=True)


def main():
    torch = pathlib.Path(sys.argv[1]) / "torch"
    for pattern in DELETED:
        for path in torch.glob(pattern):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    lib = torch / "lib"
    have = set()
    for name in ["libtorch_cpu.so", "libc10.so", "libc10_cuda.so", "libshm.so"]:
        have |= symbols(lib / name, "defined")
    needed = symbols(lib / "libtorch_python.so", "undefined") - have
    source = "\n".join(stand_ins(sorted(filter(OF_THE_GPU_HALF.match, needed))))
    compile_library(lib / "libtorch_cuda.so", source)
    for name in ["libcudnn.so.9", "libcufile.so.0"]:
        compile_library(lib / name, "")


if __name__ == "__main__":
    main()
