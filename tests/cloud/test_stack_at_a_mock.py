"""The stack, created at moto: resources find each other. test_templates.py reads the rest."""

import base64
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cloud.template import TEMPLATE, VALUES, rendered

boto3: Any = pytest.importorskip("boto3")
moto: Any = pytest.importorskip("moto")

REGION = "us-east-1"


class Stack:
    """A stack, and what it says of itself."""

    def __init__(self, **parameters: str) -> None:
        self.ec2 = boto3.client("ec2", REGION)
        image = self.ec2.describe_images()["Images"][0]["ImageId"]
        given = {name: VALUES[name] for name in ("Site", "ReleaseUrl", "ReleaseTag")}
        given |= {"Image": image, **parameters}
        cloud = boto3.client("cloudformation", REGION)
        cloud.create_stack(
            StackName="shop",
            TemplateBody=TEMPLATE.read_text(),
            Parameters=[{"ParameterKey": n, "ParameterValue": v} for n, v in given.items()],
            Capabilities=["CAPABILITY_IAM"],
        )
        (self.stack,) = cloud.describe_stacks(StackName="shop")["Stacks"]
        listed = cloud.describe_stack_resources(StackName="shop")["StackResources"]
        self.ids = {
            each["LogicalResourceId"]: each["PhysicalResourceId"]
            for each in listed
            if {"LogicalResourceId", "PhysicalResourceId"} <= set(each)  # moto forgets some
        }
        self.outputs = {each["OutputKey"]: each["OutputValue"] for each in self.stack["Outputs"]}

    def machine(self) -> dict[str, Any]:
        (found,) = self.ec2.describe_instances(InstanceIds=[self.ids["Machine"]])["Reservations"]
        machine: dict[str, Any] = found["Instances"][0]
        return machine


@pytest.fixture(autouse=True)
def mock(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "of-nobody")
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    with moto.mock_aws():
        yield


def test_it_is_created_and_says_where_the_shop_is() -> None:
    made = Stack()
    assert made.stack["StackStatus"] == "CREATE_COMPLETE"
    assert made.outputs["Url"] == "https://shop.example.com"
    assert made.outputs["Check"] == "valerix cloud check https://shop.example.com"
    assert made.outputs["Address"] == made.ids["Address"]
    assert made.outputs["Bucket"] == made.ids["Capsules"]
    assert made.ids["Machine"] in made.outputs["Session"]


def test_the_machine_is_told_its_name_its_disk_and_its_bucket() -> None:
    made = Stack(SshFrom="203.0.113.7/32", KeyPair="mine")
    found = made.ec2.describe_instance_attribute(
        InstanceId=made.ids["Machine"], Attribute="userData"
    )
    told = base64.b64decode(found["UserData"]["Value"]).decode()
    volume = made.ids["Data"].replace("-", "")
    disk = f"/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_{volume}"
    own = {"Seed": "false", "DataDisk": disk}
    own |= {"Bucket": made.ids["Capsules"], "BucketRegion": REGION}
    assert told == rendered({**VALUES, **own})


def test_the_data_disk_is_at_the_machine() -> None:
    made = Stack(DataGiB="50")
    (volume,) = made.ec2.describe_volumes(VolumeIds=[made.ids["Data"]])["Volumes"]
    (attached,) = volume["Attachments"]
    assert (attached["InstanceId"], attached["Device"]) == (made.ids["Machine"], "/dev/sdf")
    assert volume["Size"] == 50


def test_the_network_leads_to_the_internet() -> None:
    made = Stack()
    (routes,) = made.ec2.describe_route_tables(RouteTableIds=[made.ids["Routes"]])["RouteTables"]
    ways = {each.get("DestinationCidrBlock"): each.get("GatewayId") for each in routes["Routes"]}
    assert ways["0.0.0.0/0"] == made.ids["Gateway"]
    (interface,) = made.ec2.describe_network_interfaces(
        NetworkInterfaceIds=[made.ids["Interface"]]
    )["NetworkInterfaces"]
    assert interface["SubnetId"] == made.ids["Subnet"]


@pytest.mark.parametrize(("key_pair", "ports"), [("", {443}), ("mine", {443, 22})])
def test_ssh_is_open_only_if_there_is_a_key_pair(key_pair: str, ports: set[int]) -> None:
    made = Stack(KeyPair=key_pair, SshFrom="203.0.113.7/32")
    (group,) = made.ec2.describe_security_groups(GroupIds=[made.ids["Firewall"]])["SecurityGroups"]
    assert {each["FromPort"] for each in group["IpPermissions"]} == ports
    assert made.machine().get("KeyName", "") == key_pair


def test_the_machine_has_the_role_that_may_keep_capsules() -> None:
    made = Stack()
    profile = made.machine()["IamInstanceProfile"]["Arn"].rpartition("/")[2]
    iam = boto3.client("iam", REGION)
    (role,) = iam.get_instance_profile(InstanceProfileName=profile)["InstanceProfile"]["Roles"]
    policy = iam.get_role_policy(RoleName=role["RoleName"], PolicyName="capsules")
    bucket = f"arn:aws:s3:::{made.ids['Capsules']}"
    allowed = re.findall(r"arn:aws:s3:[^'\"]+", str(policy["PolicyDocument"]))
    assert allowed == [bucket, f"{bucket}/capsules/*"]


def test_a_zone_gets_the_name() -> None:
    route53 = boto3.client("route53", REGION)
    zone = route53.create_hosted_zone(Name="example.com", CallerReference="1")["HostedZone"]["Id"]
    zone = zone.rpartition("/")[2]
    made = Stack(Zone=zone)
    records = route53.list_resource_record_sets(HostedZoneId=zone)["ResourceRecordSets"]
    (address,) = [each for each in records if each["Type"] == "A"]
    assert address["Name"].rstrip(".") == "shop.example.com"
    assert address["ResourceRecords"] == [{"Value": made.outputs["Address"]}]
